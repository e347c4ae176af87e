/** The client for programs that use the package: `pseudolake/client`. */

export type { Clock } from '../core/clock.ts'
export { systemClock } from '../core/clock.ts'
export type { ErrorCode } from '../core/errors.ts'
export { isPseudolakeError, PseudolakeError } from '../core/errors.ts'
export { packTexts, unpackTexts } from '../core/texts.ts'
export type { BytesPseudonymizer, CallBytes } from './bytes.ts'
export type { Client, ClientOptions } from './compose.ts'
export { composeClient } from './compose.ts'
export type { KeyCheck } from './key-check.ts'
export { KEY_CHECK, keyCheck } from './key-check.ts'
export type { Adaptive, AdaptiveOptions } from './layers/adaptive.ts'
export { adaptive } from './layers/adaptive.ts'
export type { BatchOptions } from './layers/batch.ts'
export { batch } from './layers/batch.ts'
export type { CacheOptions } from './layers/cache.ts'
export { cache } from './layers/cache.ts'
export { dedupe } from './layers/dedupe.ts'
export type { RetryOptions } from './layers/retry.ts'
export { retry } from './layers/retry.ts'
export { validate } from './layers/validate.ts'
export type {
  BytesAnswer,
  BytesRequest,
  Direction,
  PseudonymAnswer,
  Pseudonymizer,
  PseudonymRequest,
  TextBatch,
  Transport,
} from './pseudonymizer.ts'
export type { ClientStats } from './stats.ts'
export type { HttpOptions, Sign } from './transports/http.ts'
export { httpTransport } from './transports/http.ts'
export { inProcessTransport } from './transports/in-process.ts'
export type { Invocation, Invoke, LambdaOptions } from './transports/lambda.ts'
export { lambdaTransport } from './transports/lambda.ts'
