"""A peer: reads the column as dictionaries, puts pseudonyms in their place, writes. Arguments: FOLDER MAPPING OUTPUT-FOLDER CODEC."""
import os, sys
import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq

ROW_GROUP_ROWS = 122_880

folder, mapping, output, codec = sys.argv[1:]
known = pq.read_table(mapping)
originals, pseudonyms = known["vin"].combine_chunks(), known["s_vin"].combine_chunks()


def replaced(column):
    # One dictionary for all chunks, so that its values are looked up once.
    chunks = column.unify_dictionaries().chunks
    if not chunks:
        return pa.chunked_array([], pa.string())
    new = pseudonyms.take(pc.index_in(chunks[0].dictionary, value_set=originals))
    # It is written with each row group: where few of its values occur in one, plain values are less.
    if 2 * len(new) > ROW_GROUP_ROWS:
        return pa.chunked_array([new.take(chunk.indices) for chunk in chunks])
    return pa.chunked_array([pa.DictionaryArray.from_arrays(chunk.indices, new) for chunk in chunks])


os.makedirs(output)
for name in sorted(os.listdir(folder)):
    table = pq.read_table(os.path.join(folder, name), read_dictionary=["vin"])
    at = table.column_names.index("vin")
    table = table.set_column(at, "s_vin", replaced(table["vin"]))
    pq.write_table(table, os.path.join(output, name), compression=codec, row_group_size=ROW_GROUP_ROWS)
