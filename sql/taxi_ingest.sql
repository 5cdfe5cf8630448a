-- The step before taxi_revenue.sql: raw CSV.gz, as the trips arrive, to Parquet with declared types.
--
--   lakebed -f sql/taxi_ingest.sql
--   lakebed -f sql/taxi_ingest.sql -v raw_green='raw/green/' -v raw_yellow='raw/yellow/' -v output='lake'
--
-- @default raw_green = testdata/taxi/raw/green/
-- @default raw_yellow = testdata/taxi/raw/yellow/
-- @default output = target/taxi_ingest/${run_id}

DROP TABLE IF EXISTS green_raw;
DROP TABLE IF EXISTS yellow_raw;
DROP TABLE IF EXISTS green;
DROP TABLE IF EXISTS yellow;

CREATE EXTERNAL TABLE green_raw (
    VendorID BIGINT,
    lpep_pickup_datetime TIMESTAMP,
    lpep_dropoff_datetime TIMESTAMP,
    store_and_fwd_flag STRING,
    RatecodeID BIGINT,
    PULocationID BIGINT,
    DOLocationID BIGINT,
    passenger_count BIGINT,
    trip_distance DOUBLE,
    fare_amount DOUBLE,
    extra DOUBLE,
    mta_tax DOUBLE,
    tip_amount DOUBLE,
    tolls_amount DOUBLE,
    ehail_fee DOUBLE,
    improvement_surcharge DOUBLE,
    total_amount DOUBLE,
    payment_type BIGINT,
    trip_type BIGINT,
    congestion_surcharge DOUBLE
)
ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
STORED AS TEXTFILE
LOCATION '${raw_green}'
TBLPROPERTIES ('skip.header.line.count' = '1');

CREATE EXTERNAL TABLE yellow_raw (
    VendorID BIGINT,
    tpep_pickup_datetime TIMESTAMP,
    tpep_dropoff_datetime TIMESTAMP,
    passenger_count BIGINT,
    trip_distance DOUBLE,
    RatecodeID BIGINT,
    store_and_fwd_flag STRING,
    PULocationID BIGINT,
    DOLocationID BIGINT,
    payment_type BIGINT,
    fare_amount DOUBLE,
    extra DOUBLE,
    mta_tax DOUBLE,
    tip_amount DOUBLE,
    tolls_amount DOUBLE,
    improvement_surcharge DOUBLE,
    total_amount DOUBLE,
    congestion_surcharge DOUBLE,
    airport_fee DOUBLE
)
ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
STORED AS TEXTFILE
LOCATION '${raw_yellow}'
TBLPROPERTIES ('skip.header.line.count' = '1');

-- An empty field of a text column is an empty string in CSV. In the lake it is NULL, as it was at the source.
CREATE TABLE green
WITH (format = 'PARQUET', external_location = '${output}/green') AS
SELECT
    VendorID,
    lpep_pickup_datetime,
    lpep_dropoff_datetime,
    nullif(store_and_fwd_flag, '') AS store_and_fwd_flag,
    RatecodeID,
    PULocationID,
    DOLocationID,
    passenger_count,
    trip_distance,
    fare_amount,
    extra,
    mta_tax,
    tip_amount,
    tolls_amount,
    ehail_fee,
    improvement_surcharge,
    total_amount,
    payment_type,
    trip_type,
    congestion_surcharge
FROM green_raw;

CREATE TABLE yellow
WITH (format = 'PARQUET', external_location = '${output}/yellow') AS
SELECT
    VendorID,
    tpep_pickup_datetime,
    tpep_dropoff_datetime,
    passenger_count,
    trip_distance,
    RatecodeID,
    nullif(store_and_fwd_flag, '') AS store_and_fwd_flag,
    PULocationID,
    DOLocationID,
    payment_type,
    fare_amount,
    extra,
    mta_tax,
    tip_amount,
    tolls_amount,
    improvement_surcharge,
    total_amount,
    congestion_surcharge,
    airport_fee
FROM yellow_raw;

-- What arrived.
SELECT 'green' AS service, count(*) AS trips, min(lpep_pickup_datetime) AS first, max(lpep_pickup_datetime) AS last, round(sum(total_amount), 2) AS total
FROM green
UNION ALL
SELECT 'yellow', count(*), min(tpep_pickup_datetime), max(tpep_pickup_datetime), round(sum(total_amount), 2)
FROM yellow
ORDER BY service;
