/** What a command beside the consumer works with, on a test's stage. */
import { systemClock } from '../../../lib/core/clock.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { connectService } from '../../../pipelines/service.ts'
import { asBatch, type StreamJob } from '../../../pipelines/stream/job.ts'
import type { StreamPlaces } from '../../../pipelines/stream/open.ts'
import type { Settings, Stage } from './stage.ts'

export function placesOf(on: Stage, settings: Settings): { readonly job: StreamJob; readonly places: StreamPlaces } {
  const { job } = on.prepare(settings)
  const clock = systemClock()
  const places = {
    clock,
    random: Math.random,
    uuid: () => crypto.randomUUID(),
    catalog: on.catalog,
    storage: localStorage(),
    signal: new AbortController().signal,
    kinesis: async () => on.memory,
    connect: () =>
      connectService(asBatch(job.settings), {
        env: {},
        cwd: on.dir,
        clock,
        random: Math.random,
        randomBytes: (n) => crypto.getRandomValues(Buffer.alloc(n)),
      }),
  }
  return { job, places }
}
