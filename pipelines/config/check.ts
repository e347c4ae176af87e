/** Everything that can be said against a configuration without asking anybody: no file, no service, no table. Pure. */
import { isPseudolakeError, type PseudolakeError } from '../../lib/core/errors.ts'
import { batchJob } from '../batch/job.ts'
import { requireService } from '../service.ts'
import { asBatch, streamJob } from '../stream/job.ts'
import { type ConfigKind, loadTree, type Overrides, specOf } from './load.ts'
import type { BatchSettings, StreamSettings } from './native.ts'

export interface ConfigCheck {
  readonly form: 'native' | 'original' | undefined
  readonly kind: ConfigKind | undefined
  /** Undefined where there are problems with single values. */
  readonly settings: BatchSettings | StreamSettings | undefined
  readonly problems: readonly PseudolakeError[]
  /** What is no error and worth knowing: keys without an effect here, environment variables that are not set. */
  readonly notes: readonly string[]
}

/**
 * All problems at once, as far as one does not hide the other: of single values first, then of settings that do not go together or that this
 * version cannot do.
 * @param cwd where relative paths start
 */
export function checkConfig(source: string, overrides: Overrides, cwd: string): ConfigCheck {
  let loaded: ReturnType<typeof loadTree>
  try {
    loaded = loadTree(source, overrides)
  } catch (error) {
    if (!isPseudolakeError(error)) throw error
    return { form: undefined, kind: undefined, settings: undefined, problems: [error], notes: [] }
  }
  const { form, kind, tree } = loaded
  const spec = specOf(kind)
  const problems = spec.problems(tree, '')
  if (problems.length > 0) return { form, kind, settings: undefined, problems, notes: [] }
  const env = overrides.env ?? {}
  if (kind === 'stream') {
    const settings = spec.read(tree, '') as StreamSettings
    const batch = asBatch(settings)
    return {
      form,
      kind,
      settings,
      problems: [...found(settings, (rest) => streamJob(rest, cwd)), ...serviceProblems(batch)],
      notes: [...variableNotes(batch, env), ...idleNotes(idleAws(batch, true), 'stream')],
    }
  }
  const settings = spec.read(tree, '') as BatchSettings
  const { every, max_rows: maxRows } = settings.commit
  const idle = { 'commit.every': every, 'commit.max_rows': maxRows, ...idleAws(settings, false) }
  return {
    form,
    kind,
    settings,
    problems: [...found(settings, (rest) => batchJob(rest, cwd)), ...serviceProblems(settings)],
    notes: [...variableNotes(settings, env), ...idleNotes(idle, 'batch run')],
  }
}

/** What a setting is put to for a moment, so that the problem behind it shows too. */
const PUT_ASIDE: Readonly<Record<string, unknown>> = {
  'input.path': '/input',
  'input.format': 'parquet',
  'output.format': 'iceberg',
  'output.catalog': { type: 'filesystem' },
  'output.warehouse': '/output',
  'output.state': '/state',
  schema_changes: 'fail',
}

function found<S>(settings: S, resolve: (settings: S) => unknown): PseudolakeError[] {
  const problems: PseudolakeError[] = []
  let rest = settings
  for (;;) {
    const problem = thrown(() => resolve(rest))
    if (!problem) return problems
    problems.push(problem)
    const key = String(problem.context.key).replace(/^(output\.catalog)\..*/, '$1')
    if (!Object.hasOwn(PUT_ASIDE, key) || problems.length > Object.keys(PUT_ASIDE).length) return problems
    rest = withValue(rest, key.split('.'), PUT_ASIDE[key]) as S
  }
}

function serviceProblems(settings: BatchSettings): PseudolakeError[] {
  const name = settings.service.api_key?.env
  // Whether the variable is set is a matter of the machine that runs the job.
  const problem = thrown(() => requireService(settings, name === undefined ? {} : { [name]: 'set' }))
  return problem ? [problem] : []
}

function thrown(check: () => void): PseudolakeError | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (isPseudolakeError(error)) return error
    throw error
  }
}

function withValue(of: unknown, [word, ...words]: readonly string[], value: unknown): unknown {
  if (word === undefined) return value
  return { ...(of as object), [word]: withValue((of as Record<string, unknown>)[word], words, value) }
}

function variableNotes(
  { service, output }: BatchSettings,
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  const { credential, token } = output.catalog
  const variables = Object.entries({
    'service.api_key.env': service.api_key?.env,
    'output.catalog.credential.env': credential?.env,
    'output.catalog.token.env': token?.env,
  })
  return variables.flatMap(([key, name]) =>
    name !== undefined && !env[name] ? [`the environment variable ${name} of ${key} is not set here`] : [],
  )
}

function idleNotes(idle: Readonly<Record<string, unknown>>, what: string): string[] {
  return Object.entries(idle).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key} has no effect in this ${what}`],
  )
}

/** Sections and keys of AWS where nothing of AWS is asked. @param stream a stream’s input is always AWS's */
function idleAws({ input, output, service, aws }: BatchSettings, stream: boolean): Record<string, unknown> {
  const isBucket = (location: string | undefined) => /^s3[an]?:\/\//i.test(location ?? '')
  const { catalog } = output
  const reads = stream || isBucket(input.path)
  const writes =
    isBucket(output.warehouse) ||
    isBucket(output.state) ||
    catalog.type === 'glue' ||
    catalog.type === 'rest' ||
    catalog.auth === 'sigv4'
  const keyring = service.embedded?.keyring
  const asks =
    service.lambda !== undefined ||
    service.auth !== undefined ||
    service.api_key?.secret !== undefined ||
    typeof keyring === 'object'
  return {
    ...(!reads && { 'input.aws': input.aws, 'input.requester_pays': input.requester_pays || undefined }),
    ...(!asks && { 'service.aws': service.aws }),
    ...(!writes && { 'output.aws': output.aws, 'output.encryption': output.encryption }),
    ...(!reads && !writes && !asks && { aws }),
  }
}
