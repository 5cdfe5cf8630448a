-- Revenue per day with its running total and the average of the last seven days.
SELECT
    day,
    round(revenue, 2) AS revenue,
    round(sum(revenue) OVER (ORDER BY day), 2) AS so_far,
    round(avg(revenue) OVER (ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW), 2) AS seven_day_average
FROM (
    SELECT CAST(tpep_pickup_datetime AS DATE) AS day, sum(total_amount) AS revenue
    FROM 'testdata/taxi/yellow/*/*/*.parquet'
    WHERE tpep_pickup_datetime >= TIMESTAMP '2020-01-01 00:00:00'
        AND tpep_pickup_datetime < TIMESTAMP '2020-02-01 00:00:00'
    GROUP BY CAST(tpep_pickup_datetime AS DATE)
) AS daily
ORDER BY day
LIMIT 10;
