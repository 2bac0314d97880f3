"""What a Glue job finds on its path in place of AWS's own package: ``awsglue``, see there."""
