-- A CSV file, queried as it lies there, becomes Parquet.
-- @default output = target/examples/${run_id}/zones.parquet
COPY (
    SELECT LocationID AS location_id, Borough AS borough, Zone AS zone, service_zone
    FROM read_csv('testdata/taxi/zone/taxi_zone_lookup.csv')
) TO '${output}' STORED AS PARQUET;

SELECT borough, count(*) AS zones FROM '${output}' GROUP BY borough ORDER BY zones DESC, borough;
