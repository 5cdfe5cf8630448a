-- Sketches answer in one pass and little memory: how many zones, and the spread of the fares.
SELECT
    count(DISTINCT PULocationID) AS zones,
    approx_distinct(PULocationID) AS zones_approximately,
    approx_percentile(fare_amount, 0.5) AS median_fare,
    approx_percentile(fare_amount, 0.99) AS high_fare
FROM 'testdata/taxi/yellow/*/*/*.parquet';
