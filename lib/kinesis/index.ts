/** Kinesis Data Streams for programs that use the package. */
export { type AwsKinesisOptions, awsKinesis } from './aws.ts'
export type { Consumer, ConsumerStats } from './consumer.ts'
export { openConsumer } from './consumer.ts'
export type { ForeignAggregates } from './deaggregate.ts'
export { deaggregate } from './deaggregate.ts'
export type {
  Kinesis,
  NewRecord,
  PutResult,
  ReadFrom,
  RecordsAnswer,
  Shard,
  StoredRecord,
  StreamDescription,
} from './kinesis.ts'
export { memoryKinesis } from './memory.ts'
export type { ConsumerOptions } from './options.ts'
export type { Pace } from './pace.ts'
export { DEFAULT_PACE } from './pace.ts'
export type { Position, Positions, Start, StreamIdentity } from './positions.ts'
export {
  advance,
  comparePositions,
  firstPositions,
  isTrimmed,
  parsePositions,
  positionsDigest,
  positionsText,
} from './positions.ts'
export type { PutAllOptions, PutAnswer } from './put.ts'
export { putAll } from './put.ts'
export { compareSequences, type StreamRecord } from './records.ts'
export type { Batch } from './shard-reader.ts'
