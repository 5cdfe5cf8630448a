-- Monthly revenue per pickup zone and service, from the trips of green and yellow New York taxis.
--
--   lakebed -f sql/taxi_revenue.sql
--   lakebed -f sql/taxi_revenue.sql -v input_green='lake/green/2020/*/*.parquet' -v output='lake/revenue'
--
-- @default input_green = testdata/taxi/green/*/*/*.parquet
-- @default input_yellow = testdata/taxi/yellow/*/*/*.parquet
-- @default input_zones = testdata/taxi/zone/taxi_zone_lookup.csv
-- @default output = target/taxi_revenue/${run_id}

DROP TABLE IF EXISTS revenue;

CREATE TABLE revenue
WITH (format = 'PARQUET', external_location = '${output}') AS
WITH green AS (
    SELECT
        'Green' AS service_type,
        lpep_pickup_datetime AS pickup_datetime,
        PULocationID AS pickup_zone,
        passenger_count,
        trip_distance,
        fare_amount,
        extra,
        mta_tax,
        tip_amount,
        tolls_amount,
        improvement_surcharge,
        total_amount,
        congestion_surcharge
    FROM read_parquet('${input_green}')
),
yellow AS (
    SELECT
        'Yellow' AS service_type,
        tpep_pickup_datetime AS pickup_datetime,
        PULocationID AS pickup_zone,
        passenger_count,
        trip_distance,
        fare_amount,
        extra,
        mta_tax,
        tip_amount,
        tolls_amount,
        improvement_surcharge,
        total_amount,
        congestion_surcharge
    FROM read_parquet('${input_yellow}')
),
trips AS (
    SELECT * FROM green
    UNION ALL
    SELECT * FROM yellow
),
monthly AS (
    SELECT
        pickup_zone AS revenue_zone,
        date_trunc('month', pickup_datetime) AS revenue_month,
        service_type,
        sum(fare_amount) AS revenue_monthly_fare,
        sum(extra) AS revenue_monthly_extra,
        sum(mta_tax) AS revenue_monthly_mta_tax,
        sum(tip_amount) AS revenue_monthly_tip_amount,
        sum(tolls_amount) AS revenue_monthly_tolls_amount,
        sum(improvement_surcharge) AS revenue_monthly_improvement_surcharge,
        sum(total_amount) AS revenue_monthly_total_amount,
        sum(congestion_surcharge) AS revenue_monthly_congestion_surcharge,
        avg(passenger_count) AS avg_monthly_passenger_count,
        avg(trip_distance) AS avg_monthly_trip_distance
    FROM trips
    GROUP BY pickup_zone, date_trunc('month', pickup_datetime), service_type
)
SELECT
    monthly.*,
    zones.Borough AS borough,
    zones.Zone AS zone
FROM monthly
LEFT JOIN read_csv('${input_zones}') AS zones
    ON monthly.revenue_zone = zones.LocationID;

-- The zones that brought in the most, from the table just written.
SELECT
    coalesce(zone, 'Zone ' || CAST(revenue_zone AS VARCHAR)) AS zone,
    borough,
    round(sum(revenue_monthly_total_amount) FILTER (WHERE service_type = 'Green'), 2) AS green,
    round(sum(revenue_monthly_total_amount) FILTER (WHERE service_type = 'Yellow'), 2) AS yellow,
    round(sum(revenue_monthly_total_amount), 2) AS total,
    count(DISTINCT revenue_month) AS months
FROM revenue
GROUP BY revenue_zone, zone, borough
ORDER BY total DESC
LIMIT 10;
