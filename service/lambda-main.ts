/** What a function runs (docs/lambda.md): the only file of it that touches the process. Built into one bundle by scripts/lambda.js. */
import { randomBytes, randomUUID } from 'node:crypto'
import { systemClock } from '../lib/core/clock.ts'
import { createLambda } from './lambda.ts'

const clock = systemClock()
const write = (line: string) => process.stdout.write(`${line}\n`)
const service = createLambda({
  env: process.env,
  clock,
  random: Math.random,
  randomBytes,
  uuid: randomUUID,
  log: (entry) => write(JSON.stringify({ time: new Date(clock.wall()).toISOString(), ...entry })),
  write,
})
// In the phase in which nobody pays for the time, and no request waits for it.
await service.start()

export const handler = service.handler
