/**
 * A Parquet schema as a tree (parquet-format, "Nested Encoding" and LogicalTypes.md). Pure.
 * The tree is what the rest of the product sees: lists and maps are told from structs here, once.
 */

export type PhysicalType =
  | 'BOOLEAN'
  | 'INT32'
  | 'INT64'
  | 'INT96'
  | 'FLOAT'
  | 'DOUBLE'
  | 'BYTE_ARRAY'
  | 'FIXED_LEN_BYTE_ARRAY'

export type TimeUnit = 'millis' | 'micros' | 'nanos'

/** The annotation of a leaf; a legacy ConvertedType is read as the logical type it stands for. */
export type LogicalType =
  | { readonly type: 'string' | 'enum' | 'json' | 'bson' | 'uuid' | 'date' | 'float16' | 'interval' | 'unknown' }
  | { readonly type: 'geometry' | 'geography' | 'variant' }
  | { readonly type: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly type: 'time'; readonly unit: TimeUnit; readonly utc: boolean }
  | { readonly type: 'timestamp'; readonly unit: TimeUnit; readonly utc: boolean }
  | { readonly type: 'integer'; readonly bits: 8 | 16 | 32 | 64; readonly signed: boolean }

export type Repetition = 'required' | 'optional' | 'repeated'

interface NodeBase {
  readonly name: string
  /** Names from below the root to this node, those of the groups inside lists and maps included. */
  readonly path: readonly string[]
  readonly repetition: Repetition
  readonly fieldId?: number
}

export interface LeafNode extends NodeBase {
  readonly kind: 'leaf'
  readonly physical: PhysicalType
  /** Bytes of a FIXED_LEN_BYTE_ARRAY. */
  readonly typeLength?: number
  readonly logical?: LogicalType
  readonly maxDefinitionLevel: number
  readonly maxRepetitionLevel: number
  /** Position among the leaves: index into a row group's column chunks. */
  readonly column: number
}

export interface StructNode extends NodeBase {
  readonly kind: 'struct'
  readonly children: readonly SchemaNode[]
}

/** A three-level list: this group, one repeated group in it, `element` in that. */
export interface ListNode extends NodeBase {
  readonly kind: 'list'
  readonly element: SchemaNode
  /**
   * How files of old or simple writers spell it. `two-level`: the element is what is repeated in this group. `repeated`: there is no group,
   * and list and element have one path. The levels of their values are those of a list of three levels, so pages can be kept.
   */
  readonly spelled?: 'two-level' | 'repeated'
}

/** A map: this group, one repeated group in it, `key` and `value` in that. */
export interface MapNode extends NodeBase {
  readonly kind: 'map'
  readonly key: SchemaNode
  readonly value: SchemaNode
}

export type SchemaNode = LeafNode | StructNode | ListNode | MapNode

/** A key for maps by path. A name may hold any character, dots too, so paths are never joined by one. */
export function pathKey(path: readonly string[]): string {
  return JSON.stringify(path)
}
