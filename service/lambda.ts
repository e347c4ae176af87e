import { setImmediate } from 'node:timers/promises'
import { type Aws, openAws } from '../lib/aws/clients.ts'
import { openSecrets, type Secrets } from '../lib/aws/secrets.ts'
import { regionOfArn } from '../lib/aws/settings.ts'
import type { Clock } from '../lib/core/clock.ts'
import { isPseudolakeError } from '../lib/core/errors.ts'
import { fastKernel, slowly } from '../lib/crypto/fast.ts'
import type { OpenKernel, RandomBytes } from '../lib/crypto/kernel.ts'
import { openKeyring } from '../lib/crypto/keyring.ts'
import { createApp, type LogEntry } from './app.ts'
import type { Audit } from './audit/audit.ts'
import { followCallers } from './callers/follow.ts'
import { emf } from './emf.ts'
import { type LambdaSettings, readLambdaEnv } from './env.ts'
import { bytesAsAnswer, type LambdaAnswer, lambdaHandler, type ReadyService } from './handlers/lambda.ts'
import { followKeyring } from './keys/reload.ts'
import { keyringInSecrets } from './secrets.ts'

/** The outside of a function, as lambda-main.ts or a test hands it in. */
export interface LambdaOutside {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** Uniform in [0, 1); spreads retries of the store. */
  readonly random: () => number
  readonly randomBytes: RandomBytes
  readonly uuid: () => string
  readonly log: (entry: LogEntry) => void
  /** Takes a line for CloudWatch's embedded metrics. */
  readonly write: (line: string) => void
}

export interface LambdaService {
  readonly handler: (event: unknown) => Promise<LambdaAnswer>
  /** Reads secrets and opens the keys ahead of the first event. Never throws: what fails is logged, and tried again with the next event. */
  start(): Promise<void>
}

/** A secret that is asked for once more because of a refusal is not asked for again sooner. */
const REFRESH_AGAIN_MS = 10_000

/** The service as a function; its keys and its callers come from Secrets Manager and are looked at again after their time (docs/lambda.md). */
export function createLambda(outside: LambdaOutside): LambdaService {
  const { log } = outside
  let making: Promise<ReadyService> | undefined
  let kernel: Promise<OpenKernel> | undefined
  const ready = (): Promise<ReadyService> => {
    // Found out, and said, once.
    kernel ??= kernelFor(log)
    making ??= make(outside, kernel).catch((error: unknown) => {
      making = undefined
      throw error
    })
    return making
  }
  const failed = (error: unknown) => log({ level: 'error', event: 'not-ready', ...reasonOf(error) })
  return { handler: lambdaHandler({ ready, failed }), start: async () => void (await ready().catch(failed)) }
}

async function make(outside: LambdaOutside, kernel: Promise<OpenKernel>): Promise<ReadyService> {
  const { env, clock, log, randomBytes } = outside
  const settings = readLambdaEnv(env)
  const { keyringSecret: keyringName, apiKeysSecret: callersName, metricsNamespace: namespace } = settings
  const aws = openAws({ env })
  const secretsIn = (name: string): Secrets => {
    const region = regionOfArn(name)
    const client = () => aws.secretsManager(region === undefined ? {} : { region })
    return openSecrets({ client, clock, ttlMs: settings.secretTtlMs })
  }
  const source = keyringInSecrets({
    name: keyringName,
    aws: async () => aws,
    clock,
    ttlMs: settings.secretTtlMs,
    say: (reason) => log({ level: 'warn', event: 'previous-keyring-not-used', reason }),
  })
  const ofCallers = callersName === undefined ? undefined : secretsIn(callersName)
  const openKernel = await kernel
  let changes = 0

  const [keys, callers, audit] = await Promise.all([
    followKeyring({
      source,
      open: (data) => openKeyring(data, openKernel, { randomBytes }),
      // Of a secret that was replaced twice, the store has the first no more.
      mayLoseKeys: true,
      say: (event) => log({ level: event.event === 'keyring-reloaded' ? 'info' : 'error', ...event }),
    }),
    followCallers({
      ...(ofCallers && { secret: { name: callersName as string, secrets: ofCallers } }),
      apiKey: settings.apiKey,
      anyCaller: settings.anyCaller,
      log,
    }),
    auditOf(settings, outside, aws),
  ])
  const app = createApp({
    keyring: keys.keyring,
    identify: callers.identify,
    audit,
    clock,
    requestId: outside.uuid,
    pause: setImmediate,
    log,
    answerBytes: bytesAsAnswer,
    ...(namespace !== undefined && { observe: emf({ write: outside.write, now: () => clock.wall(), namespace }) }),
  })

  async function current(): Promise<void> {
    const [reloaded, changed] = await Promise.all([keys.reload(), callers.current()])
    if (reloaded === 'replaced' || changed) changes++
  }

  let refreshed = Number.NEGATIVE_INFINITY
  return {
    app,
    trustPrincipal: settings.trustPrincipal,
    current,
    async refresh() {
      if (clock.now() - refreshed < REFRESH_AGAIN_MS) return false
      refreshed = clock.now()
      const before = changes
      const asked = [source.refresh(), ofCallers?.refresh(callersName as string)]
      for (const one of await Promise.allSettled(asked))
        if (one.status === 'rejected') log({ level: 'error', event: 'secret-not-refreshed', ...reasonOf(one.reason) })
      await current()
      return changes > before
    },
  }
}

/** The portable kernel is a chunk of the bundle that is read where it serves: every start would pay for it else. */
async function kernelFor(log: LambdaOutside['log']): Promise<OpenKernel> {
  const fast = fastKernel()
  if ('open' in fast) return fast.open
  log({ level: 'warn', event: 'slow-kernel', reason: slowly(fast.reason) })
  return (await import('../lib/crypto/noble-bundled.ts')).nobleKernel
}

/** Without a store the log is the record, which nobody can say of that it is durable: then there is no way back. */
async function auditOf({ audit, anchors }: LambdaSettings, outside: LambdaOutside, aws: Aws): Promise<Audit> {
  const { log, env, clock, random, randomBytes } = outside
  const { loggedAudit } = await import('./audit/logged.ts')
  if (audit === undefined) return loggedAudit((entry) => log({ level: 'info', event: 'audit', ...entry }))
  const [{ openAudit }, { storageAs }] = await Promise.all([
    import('./audit/open.ts'),
    import('../pipelines/storages.ts'),
  ])
  return openAudit({
    place: audit,
    ...(anchors !== undefined && { anchors }),
    storage: storageAs({}, { env, clock, random, aws: async () => aws }),
    clock,
    randomBytes,
    failed: () => log({ level: 'error', event: 'anchor-failed' }),
  })
}

/** A message of ours names places and lengths; that of a foreign error may quote what it was working on. */
function reasonOf(error: unknown): { readonly code: string; readonly reason: string } {
  if (isPseudolakeError(error)) return { code: error.code, reason: error.message }
  return { code: 'internal/bug', reason: error instanceof Error ? error.name : typeof error }
}
