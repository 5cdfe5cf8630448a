-- One line per month about what is wrong with the files.
SELECT
    date_format(lpep_pickup_datetime, '%Y-%m') AS month,
    count(*) AS trips,
    count(*) FILTER (WHERE trip_distance = 0) AS no_distance,
    count(*) FILTER (WHERE total_amount < 0) AS refunds,
    count_if(passenger_count IS NULL) AS no_meter_data,
    count_if(date_diff('minute', lpep_pickup_datetime, lpep_dropoff_datetime) NOT BETWEEN 1 AND 180) AS odd_duration,
    min_by(PULocationID, total_amount) AS zone_of_largest_refund
FROM 'testdata/taxi/green/*/*/*.parquet'
GROUP BY date_format(lpep_pickup_datetime, '%Y-%m')
ORDER BY month;
