/** Everything that can be said against a configuration without asking anybody: no file, no service, no table. Pure. */
import { isPseudolakeError, type PseudolakeError } from '../../lib/core/errors.ts'
import { batchJob } from '../batch/job.ts'
import { requireService } from '../service.ts'
import { loadTree, type Overrides } from './load.ts'
import { BATCH, type BatchSettings } from './native.ts'

export interface ConfigCheck {
  readonly form: 'native' | 'original' | undefined
  /** Undefined where there are problems with single values. */
  readonly settings: BatchSettings | undefined
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
    return { form: undefined, settings: undefined, problems: [error], notes: [] }
  }
  const { form, tree } = loaded
  const problems = BATCH.problems(tree, '')
  if (problems.length > 0) return { form, settings: undefined, problems, notes: [] }
  const settings = BATCH.read(tree, '')
  return {
    form,
    settings,
    problems: [...jobProblems(settings, cwd), ...serviceProblems(settings)],
    notes: notesOf(settings, overrides.env ?? {}),
  }
}

/** What a setting is put to for a moment, so that the problem behind it shows too. */
const PUT_ASIDE: Readonly<Record<string, unknown>> = {
  'input.path': '/input',
  'input.format': 'parquet',
  'output.format': 'iceberg',
  'output.catalog.type': 'filesystem',
  'output.warehouse': '/output',
  'output.state': '/state',
  schema_changes: 'fail',
}

function jobProblems(settings: BatchSettings, cwd: string): PseudolakeError[] {
  const problems: PseudolakeError[] = []
  let rest = settings
  for (;;) {
    const problem = thrown(() => batchJob(rest, cwd))
    if (!problem) return problems
    problems.push(problem)
    const key = String(problem.context.key)
    if (!Object.hasOwn(PUT_ASIDE, key) || problems.length > Object.keys(PUT_ASIDE).length) return problems
    rest = withValue(rest, key.split('.'), PUT_ASIDE[key]) as BatchSettings
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

function notesOf(settings: BatchSettings, env: Readonly<Record<string, string | undefined>>): string[] {
  const { service, commit, output, input } = settings
  const name = service.api_key?.env
  const { catalog_id, uri, warehouse, auth } = output.catalog
  const idle = Object.entries({
    'commit.every': commit.every,
    'commit.max_rows': commit.max_rows,
    aws: settings.aws,
    'input.aws': input.aws,
    'service.aws': service.aws,
    'output.aws': output.aws,
    ...(output.catalog.type === 'filesystem' && {
      'output.catalog.catalog_id': catalog_id,
      'output.catalog.uri': uri,
      'output.catalog.warehouse': warehouse,
      'output.catalog.auth': auth,
    }),
  }).flatMap(([key, value]) => (value === undefined ? [] : [key]))
  return [
    ...(name !== undefined && !env[name]
      ? [`the environment variable ${name} of service.api_key.env is not set here`]
      : []),
    ...idle.map((key) => `${key} has no effect in a batch run of this version`),
  ]
}
