-- Trips per borough and payment, with the subtotals and the grand total in the same answer.
WITH trips AS (
    SELECT
        z.Borough AS borough,
        CASE t.payment_type WHEN 1 THEN 'card' WHEN 2 THEN 'cash' ELSE 'other' END AS payment,
        t.total_amount
    FROM 'testdata/taxi/green/*/*/*.parquet' AS t
    JOIN read_csv('testdata/taxi/zone/taxi_zone_lookup.csv') AS z ON t.PULocationID = z.LocationID
)
SELECT
    if(grouping(borough) = 1, 'all boroughs', borough) AS borough,
    if(grouping(payment) = 1, 'all payments', payment) AS payment,
    count(*) AS trips,
    round(sum(total_amount), 2) AS total
FROM trips
GROUP BY ROLLUP (borough, payment)
ORDER BY grouping(borough), trips.borough, grouping(payment), trips.payment;
