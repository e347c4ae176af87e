"""A peer: a streamed join. Arguments: FOLDER MAPPING OUTPUT CODEC."""
import sys
import polars as pl

folder, mapping, output, codec = sys.argv[1:]
joined = pl.scan_parquet(f"{folder}/*.parquet").join(pl.scan_parquet(mapping), on="vin", how="left", maintain_order="left")
joined.drop("vin").sink_parquet(output, compression=codec, row_group_size=122_880)
