"""A peer: reads the column as dictionaries, puts pseudonyms in their place, writes. Arguments: FOLDER MAPPING OUTPUT-FOLDER CODEC."""
import os, sys
import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq

folder, mapping, output, codec = sys.argv[1:]
known = pq.read_table(mapping)
originals, pseudonyms = known["vin"].combine_chunks(), known["s_vin"].combine_chunks()
os.makedirs(output)
for name in sorted(os.listdir(folder)):
    table = pq.read_table(os.path.join(folder, name), read_dictionary=["vin"])
    # One dictionary for all chunks, so that its values are looked up once.
    column = table["vin"].unify_dictionaries()
    new = None
    chunks = []
    for chunk in column.chunks:
        if new is None or not chunk.dictionary.equals(old):
            old = chunk.dictionary
            new = pseudonyms.take(pc.index_in(old, value_set=originals))
        chunks.append(pa.DictionaryArray.from_arrays(chunk.indices, new))
    at = table.column_names.index("vin")
    table = table.set_column(at, "s_vin", pa.chunked_array(chunks))
    pq.write_table(table, os.path.join(output, name), compression=codec, row_group_size=122_880)
