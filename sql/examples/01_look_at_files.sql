-- Files are tables: a glob in quotes is a relation, and its schema comes from the files.
SELECT lpep_pickup_datetime, PULocationID, DOLocationID, passenger_count, trip_distance, total_amount
FROM 'testdata/taxi/green/*/*/*.parquet'
WHERE lpep_pickup_datetime >= TIMESTAMP '2020-01-01 00:00:00'
ORDER BY lpep_pickup_datetime
LIMIT 5;
