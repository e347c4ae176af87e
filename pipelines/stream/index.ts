/** Streams for programs that use the package: `pseudolake/stream`. */
export {
  type AwsKinesisOptions,
  awsKinesis,
} from '../../lib/kinesis/aws.ts'
export * from '../../lib/kinesis/index.ts'
export { readStreamConfig } from '../config/load.ts'
export type { StreamSettings } from '../config/native.ts'
export { streamSchema } from '../config/schema.ts'
export { asBatch, type StreamJob, streamJob } from './job.ts'
export { healthOf, metricsText, serveMetrics } from './metrics.ts'
export { type OpenOutside, type StreamPlaces, sealerOf, streamNameOf, withPlaces } from './open.ts'
export type { StreamOptions, StreamOutside } from './outside.ts'
export {
  type PositionsReport,
  type ResetOptions,
  resetPositions,
  showPositions,
} from './positions.ts'
export { openObject, openQuarantine, purge, type QuarantinedObject } from './quarantine/contents.ts'
export { kmsOpener, kmsSealer } from './quarantine/kms.ts'
export { type ReplayOutside, type ReplayReport, replay } from './quarantine/replay.ts'
export type { Opener, Sealer } from './quarantine/sealed.ts'
export { x25519Opener, x25519Sealer } from './quarantine/x25519.ts'
export type { CommitEvent, StreamEvent, StreamGauges, StreamReport } from './report.ts'
export { runStream, StreamRun } from './run.ts'
