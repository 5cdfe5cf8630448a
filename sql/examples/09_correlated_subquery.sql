-- Trips that cost more than three times the average of their own pickup zone.
SELECT t.PULocationID AS location_id, t.trip_distance, t.total_amount
FROM 'testdata/taxi/green/*/*/*.parquet' AS t
WHERE t.total_amount > 3 * (
    SELECT avg(o.total_amount)
    FROM 'testdata/taxi/green/*/*/*.parquet' AS o
    WHERE o.PULocationID = t.PULocationID
)
ORDER BY t.total_amount DESC, location_id
LIMIT 10;
