import { once } from 'node:events'
import { resolve } from 'node:path'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { differences, type ShadowReport } from '../../service/shadow/report.ts'
import { startShadow } from '../../service/shadow/start.ts'
import { durationOf } from '../ages.ts'
import type { Command } from '../command.ts'

export const serviceShadow: Command = {
  name: 'service shadow',
  summary:
    'Stand before an old service, and hold a new one against it on a sample of its calls, until it is told to stop.',
  options: {
    old: {
      type: 'string',
      value: 'URL',
      required: true,
      summary: 'The old service, which answers all callers; a path goes before theirs',
    },
    new: { type: 'string', value: 'URL', summary: 'The new service, asked the same afterwards' },
    keyring: { type: 'string', value: 'F', summary: 'In place of --new: keys that no service serves yet' },
    port: { type: 'integer', value: 'P', default: '8081', summary: '0: any free port' },
    host: { type: 'string', value: 'H', default: '127.0.0.1', summary: 'The address to listen on' },
    sample: { type: 'number', value: 'SHARE', default: '1', summary: 'Of the calls, from 0 to 1, that are compared' },
    'new-api-key-env': {
      type: 'string',
      value: 'NAME',
      default: 'the callers’ own',
      summary: 'The environment variable that holds the API key for the new service',
    },
    purpose: { type: 'string', value: 'P', summary: 'What the new service is told that ways back are for' },
    for: {
      type: 'string',
      value: 'T',
      summary: 'End by itself after so long, as 2h, with exit 1 where something differed',
    },
    'allow-http': { type: 'boolean', summary: 'Permit http:// to hosts that are not on loopback' },
  },
  examples: [
    [
      'pseudolake service shadow --old https://abc.execute-api.eu-west-1.amazonaws.com --keyring keys.json',
      'whether the imported keys do what the reference does; callers are pointed here meanwhile',
    ],
    [
      'pseudolake service shadow --old https://old.example --new https://new.example --sample 0.1 --purpose cut-over --json',
      'a tenth of the calls, both services running; the counts as JSON at the end',
    ],
  ],
  async run(args, io) {
    const [fresh, keyring, purpose] = [args.string('new'), args.string('keyring'), args.string('purpose')]
    const forMs = args.string('for')
    const lasts = forMs === undefined ? undefined : durationOf('--for', forMs)
    const variable = args.string('new-api-key-env')
    const apiKey = variable === undefined ? undefined : io.env[variable]?.trim()
    if (variable !== undefined && !apiKey)
      throw new PseudolakeError('options/invalid', `--new-api-key-env: ${variable} is not set`, {
        option: 'new-api-key-env',
      })
    const running = await startShadow({
      old: args.string('old') ?? '',
      ...(fresh !== undefined && { new: fresh }),
      ...(keyring !== undefined && { keyring: resolve(io.cwd, keyring) }),
      host: args.string('host') ?? '127.0.0.1',
      port: args.number('port') ?? 8081,
      sample: args.number('sample') ?? 1,
      ...(apiKey !== undefined && { apiKey }),
      ...(purpose !== undefined && { purpose }),
      allowHttp: args.flag('allow-http'),
      env: io.env,
      clock: io.clock,
      random: io.random,
      log: (entry) => io.note(JSON.stringify({ time: new Date(io.clock.wall()).toISOString(), ...entry })),
    })
    const line = `listening on ${running.url}`
    // One JSON document is all that --json puts on stdout, at the end.
    if (io.json) io.note(line)
    else io.out(`${line}\n`)
    if (lasts !== undefined) await io.clock.sleep(lasts, io.signal).catch(() => undefined)
    else if (!io.signal.aborted) await once(io.signal, 'abort')
    const report = await running.close()
    return { exit: differences(report) > 0 ? 1 : 0, json: report, text: textOf(report) }
  },
}

function textOf({ requests, old_failed, directions, statuses }: ShadowReport): string {
  const lines = [`${requests} requests, ${old_failed} of which the old service did not answer`]
  for (const [direction, own] of Object.entries(directions)) {
    const { status, form, length, values } = own.different
    lines.push(
      `${direction}: ${own.sampled} sampled, ${own.equal} equal, ${status + form + length + values} different (status ${status}, form ${form}, length ${length}, values ${values}), ` +
        `${own.new_failed} that the new service did not answer, ${own.skipped} not compared; ${own.different_values} of ${own.values} values differ`,
    )
  }
  for (const [pair, count] of Object.entries(statuses)) lines.push(`status ${pair.replace('/', ' became ')}: ${count}`)
  return lines.join('\n')
}
