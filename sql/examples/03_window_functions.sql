-- The three highest fares of each service, and how far each is behind the one before it.
WITH trips AS (
    SELECT 'Green' AS service, fare_amount FROM 'testdata/taxi/green/*/*/*.parquet'
    UNION ALL
    SELECT 'Yellow', fare_amount FROM 'testdata/taxi/yellow/*/*/*.parquet'
),
ranked AS (
    SELECT
        service,
        fare_amount,
        row_number() OVER by_fare AS place,
        lag(fare_amount) OVER by_fare - fare_amount AS behind
    FROM trips
    WINDOW by_fare AS (PARTITION BY service ORDER BY fare_amount DESC)
)
SELECT service, place, fare_amount, behind
FROM ranked
WHERE place <= 3
ORDER BY service, place;
