-- A row for each day (UTC) and region with earthquakes. A region is what stands behind the last comma of a place:
-- "CA" of "6 km NW of The Geysers, CA", and the whole of "south of the Fiji Islands".
SELECT
  occurred_at::date AS day,
  coalesce(split_part(place, ', ', -1), 'unknown') AS region,
  count(*) AS quakes,
  max(magnitude) AS largest_magnitude
FROM quakes
WHERE kind = 'earthquake'
GROUP BY 1, 2
