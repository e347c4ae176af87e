/** What a consumer is told, with its defaults and the bounds of its numbers. */
import type { Clock } from '../core/clock.ts'
import { PseudolakeError } from '../core/errors.ts'
import type { ForeignAggregates } from './deaggregate.ts'
import { type Kinesis, MAX_GET_RECORDS } from './kinesis.ts'
import type { Pace } from './pace.ts'
import type { Positions } from './positions.ts'

export interface ConsumerOptions {
  readonly kinesis: Kinesis
  /** Name of the stream. */
  readonly stream: string
  /** As committed: `firstPositions` for a first start. */
  readonly positions: Positions
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /**
   * Bytes of answers that are held or being read, with what reading takes (room.ts). One answer is read however little this is.
   * @default 67_108_864
   */
  readonly maxBytes?: number
  /** Requests at a time. @default 16 */
  readonly maxRequests?: number
  /** Records a request asks for. @default 10_000 */
  readonly limit?: number
  /** @default 'keep' */
  readonly foreignAggregates?: ForeignAggregates
  readonly pace?: Partial<Pace>
  /** Between two looks for new shards; after a shard's end it looks at once. @default 60_000 */
  readonly resyncMs?: number
  /** How long requests may fail for other reasons than throttling before that is an error. @default 600_000 */
  readonly outageMs?: number
  /** How often a shard in which nothing comes hands out an empty batch, so that its position stays young. @default 60_000 */
  readonly idleBatchMs?: number
}

const DEFAULTS = {
  maxBytes: 64 * 1024 * 1024,
  maxRequests: 16,
  limit: MAX_GET_RECORDS,
  foreignAggregates: 'keep' as ForeignAggregates,
  resyncMs: 60_000,
  outageMs: 600_000,
  idleBatchMs: 60_000,
}

export type ConsumerSettings = Readonly<ConsumerOptions & typeof DEFAULTS>

/** @throws PseudolakeError `options/invalid` */
export function consumerSettings(options: ConsumerOptions): ConsumerSettings {
  const settings = { ...DEFAULTS, ...options }
  check('maxBytes', settings.maxBytes, 1)
  check('maxRequests', settings.maxRequests, 1)
  check('limit', settings.limit, 1, MAX_GET_RECORDS)
  return settings
}

function check(option: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new PseudolakeError('options/invalid', `${option}: expected an integer of at least ${min}, got ${value}`, {
      option,
    })
}
