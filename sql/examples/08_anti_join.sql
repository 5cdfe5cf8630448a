-- Trips from places that the lookup does not know.
SELECT t.PULocationID AS location_id, count(*) AS trips
FROM (
    SELECT PULocationID FROM 'testdata/taxi/green/*/*/*.parquet'
    UNION ALL
    SELECT PULocationID FROM 'testdata/taxi/yellow/*/*/*.parquet'
) AS t
WHERE NOT EXISTS (
    SELECT 1 FROM read_csv('testdata/taxi/zone/taxi_zone_lookup.csv') AS z WHERE z.LocationID = t.PULocationID
)
GROUP BY t.PULocationID
ORDER BY trips DESC, location_id;
