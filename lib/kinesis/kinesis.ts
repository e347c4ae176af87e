/**
 * What is asked of Kinesis Data Streams, and no more: the port. The words are the API's own (Kinesis Data Streams API Reference).
 *
 * Adapters throw PseudolakeError: `kinesis/not-found`, `kinesis/denied`, `kinesis/refused`, and, which may be tried again, `kinesis/throttled`
 * and `kinesis/unavailable`; `aws/no-credentials`. They try nothing again by themselves: who calls knows how long it may wait.
 */

export interface Kinesis {
  /** DescribeStreamSummary. */
  describe(stream: string, signal?: AbortSignal): Promise<StreamDescription>
  /** ListShards, all pages: the open shards, and the closed ones whose records have not all expired. */
  shards(stream: string, signal?: AbortSignal): Promise<readonly Shard[]>
  /**
   * GetShardIterator: a place in a shard, good for five minutes.
   * @returns undefined where the shard's records from `from` on are known to be gone (the service does not always tell)
   */
  iterator(stream: string, shard: string, from: ReadFrom, signal?: AbortSignal): Promise<string | undefined>
  /**
   * GetRecords.
   * @param limit records at the most, up to 10,000; ten MiB are the most in any case
   * @param room asked when the answer has begun, and before it is read, with its bytes as they are sent; it is read when that resolves
   * @returns 'expired' where the iterator's five minutes are over
   */
  records(
    iterator: string,
    limit: number,
    signal?: AbortSignal,
    room?: (bytes: number) => Promise<void>,
  ): Promise<RecordsAnswer | 'expired'>
  /**
   * PutRecords. One answer may hold records that were taken and records that were not; no order is promised among them.
   * @param records at most `MAX_PUT_RECORDS`, at most `MAX_PUT_BYTES` in all, keys included
   * @returns one result a record, in the order of `records`
   */
  put(stream: string, records: readonly NewRecord[], signal?: AbortSignal): Promise<readonly PutResult[]>
}

/** Records of one PutRecords. */
export const MAX_PUT_RECORDS = 500
/** Bytes of one PutRecords, data and keys: what streams take whose record size nobody raised. */
export const MAX_PUT_BYTES = 5 * 1024 * 1024
/** Records of one GetRecords. */
export const MAX_GET_RECORDS = 10_000
/** Bytes of one GetRecords. */
export const MAX_GET_BYTES = 10 * 1024 * 1024

export interface StreamDescription {
  readonly name: string
  readonly arn: string
  /** Milliseconds since 1970. A stream that was deleted and made anew has the same ARN, and another time. */
  readonly createdMs: number
  readonly status: 'CREATING' | 'DELETING' | 'ACTIVE' | 'UPDATING'
  /** How long a record is kept, in milliseconds. */
  readonly retentionMs: number
}

export interface Shard {
  readonly id: string
  /** The shards that it was split off or merged from: none, one or two. They may be listed no more. */
  readonly parents: readonly string[]
  /** MD5 of partition keys that go here, both ends included. */
  readonly hashKeys: { readonly from: bigint; readonly to: bigint }
  /** True once a reshard has closed it: it takes no records any more, and may hold unread ones. */
  readonly closed: boolean
}

/** Where to begin in a shard: the oldest record that is kept, what comes from now on, an arrival time (ms), or after a sequence number. */
export type ReadFrom = 'TRIM_HORIZON' | 'LATEST' | { readonly at: number } | { readonly after: string }

/** A record as it was put: of one user, or an aggregate of several (deaggregate.ts). */
export interface StoredRecord {
  /** Decimal text, 56 digits and more; compared by `compareSequences`. */
  readonly sequence: string
  /** Approximate arrival, milliseconds since 1970; neighbours need not be in its order. */
  readonly arrivalMs: number
  readonly partitionKey: string
  readonly data: Uint8Array
}

export interface RecordsAnswer {
  readonly records: readonly StoredRecord[]
  /** Undefined at the end of a closed shard, in the answer with its last records or in an empty one after it. */
  readonly next: string | undefined
  /** How far the answer's end is behind the shard's tip, in milliseconds; 0 is caught up. */
  readonly behindMs: number
  /** Bytes of data and keys. */
  readonly bytes: number
  /** Shards that begin where this one ends: told with the end by AWS, and not by every emulator. */
  readonly children: readonly string[]
}

export interface NewRecord {
  readonly partitionKey: string
  readonly data: Uint8Array
}

export type PutResult =
  | { readonly shard: string; readonly sequence: string }
  /** Name of the error: `ProvisionedThroughputExceededException`, `InternalFailure`. */
  | { readonly error: string }
