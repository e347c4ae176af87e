"""A peer: a streamed join. Arguments: CSV MAPPING OUTPUT."""
import sys
import polars as pl

source, mapping, output = sys.argv[1:]
rows = pl.scan_csv(source, infer_schema=False)
joined = rows.join(pl.scan_parquet(mapping), on="vin", how="left", maintain_order="left")
joined.drop("vin").sink_parquet(output, compression="zstd", compression_level=1)
