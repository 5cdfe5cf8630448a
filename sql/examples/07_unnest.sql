-- Arrays become rows: the words of the zone names, the most frequent first.
SELECT word, count(*) AS zones
FROM read_csv('testdata/taxi/zone/taxi_zone_lookup.csv') AS z
CROSS JOIN UNNEST(split(z.Zone, ' ')) AS u(word)
GROUP BY word
HAVING count(*) > 4
ORDER BY zones DESC, word;
