import { PseudolakeError } from '../../lib/core/errors.ts'
import { awsKinesis } from '../../lib/kinesis/aws.ts'
import { lazyAws } from '../../pipelines/aws.ts'
import { type Produced, produce as run } from '../../producer/index.ts'
import type { Arguments, Command, Io, Outcome } from '../command.ts'
import { progress } from '../output/progress.ts'
import { bytes, count } from '../output/text.ts'

export const produce: Command = {
  name: 'produce',
  summary: 'Put records into a Kinesis stream: dept_id, vin, example_ts as JSON, under random keys',
  positionals: [
    { name: 'STREAM', required: true, summary: 'Name of the stream' },
    { name: 'BATCH', required: true, summary: 'Records put together; more than 500 take several requests' },
    { name: 'THREADS', required: true, summary: 'Batches under way at a time' },
  ],
  options: {
    rate: { type: 'number', value: 'R', summary: 'Records a second in all. As many as go by default' },
    records: { type: 'integer', value: 'N', summary: 'So many in all. Until it is told to stop by default' },
    distinct: { type: 'integer', value: 'D', summary: 'vin is drawn from 0 … D-1', default: '40000000' },
    seed: {
      type: 'integer',
      value: 'S',
      summary: 'The same seed, the same records, times included. Random, and of the time they are made, by default',
    },
    'endpoint-url': { type: 'string', value: 'U', summary: 'Asked in the place of AWS' },
    region: { type: 'string', value: 'R', summary: 'Over AWS_REGION and the profile’s' },
  },
  examples: [
    ['pseudolake produce vehicles 500 8', 'as fast as it goes, until Ctrl-C'],
    ['pseudolake produce vehicles 500 4 --rate 1500 --records 90000', 'a minute of the published load'],
    ['pseudolake produce test 100 2 --records 1000 --endpoint-url http://127.0.0.1:4568', 'into a local server'],
  ],
  async run(args, io): Promise<Outcome> {
    const [stream = '', batch, threads] = args.positionals
    const { aws, close } = lazyAws(io.env)
    const meter = rates(io)
    const bar = progress({ clock: io.clock, quiet: io.quiet, tty: io.tty, write: io.progress })
    const total = args.number('records') ?? 0
    try {
      const settings = { region: args.string('region'), endpoints: { kinesis: args.string('endpoint-url') } }
      const options = {
        stream,
        batch: whole('BATCH', batch),
        threads: whole('THREADS', threads),
        ...given(args),
      }
      const clients = await aws()
      const kinesis = awsKinesis({
        client: await clients.kinesis(settings),
        sign: await clients.sign(settings, 'kinesis'),
      })
      const result = await run(options, {
        kinesis,
        clock: io.clock,
        random: io.random,
        signal: io.signal,
        onProgress(done) {
          const detail = meter(done)
          bar.update({ label: 'produce', done: done.records, total, detail })
        },
      })
      bar.end()
      const pace = `${count(result.records_per_second)} records a second, ${count(result.records_per_minute)} a minute`
      // A short run has shown no line yet; on a terminal the bar has.
      if (!io.tty) io.note(`produce: ${count(result.records)} records, ${pace}`)
      const again = result.resent === 0 ? '' : `, ${count(result.resent)} sent again`
      const twice = result.perhaps_twice === 0 ? '' : ` (${count(result.perhaps_twice)} of them perhaps twice)`
      return {
        exit: 0,
        json: result,
        text: `${count(result.records)} records (${bytes(result.bytes)}) in ${result.seconds.toFixed(1)} s: ${count(result.records_per_second)} a second, ${count(result.records_per_minute)} a minute${again}${twice}`,
      }
    } finally {
      bar.end()
      await close()
    }
  },
}

function given(args: Arguments) {
  const [rate, records, distinct, seed] = ['rate', 'records', 'distinct', 'seed'].map((name) => args.number(name))
  return {
    ...(rate !== undefined && { rate }),
    ...(records !== undefined && { records }),
    ...(distinct !== undefined && { distinct }),
    ...(seed !== undefined && { seed }),
  }
}

/** Of the last while, as text; with `--json` a line each. */
const EVERY_MS = 10_000

function rates(io: Io): (done: Produced) => string {
  const started = io.clock.now()
  let from = { ms: started, records: 0 }
  let lineMs = started
  let text = ''
  return (done) => {
    const now = io.clock.now()
    const ms = now - from.ms
    if (text === '' || ms >= 1000) {
      const perSecond = ms > 0 ? ((done.records - from.records) / ms) * 1000 : 0
      text = `${count(Math.round(perSecond))} records a second, ${count(Math.round(perSecond * 60))} a minute`
      if (ms >= 1000) from = { ms: now, records: done.records }
    }
    if (io.json && now - lineMs >= EVERY_MS) {
      lineMs = now
      const seconds = (now - started) / 1000
      const perSecond = Math.round(done.records / seconds)
      io.out(JSON.stringify({ ...done, seconds, records_per_second: perSecond, records_per_minute: perSecond * 60 }))
    }
    return `${count(done.records)} records, ${text}`
  }
}

function whole(name: string, text: string | undefined): number {
  if (text !== undefined && /^[0-9]{1,9}$/.test(text)) return Number(text)
  throw new PseudolakeError('options/invalid', `produce: ${name}: expected a whole number`, { option: name })
}
