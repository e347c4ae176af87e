import { BATCH, STREAM } from './native.ts'
import type { JsonSchema } from './spec.ts'

/**
 * The native batch configuration as JSON Schema (draft 2020-12), for editors and for checks without pseudolake. Made from the description that
 * reads configurations; what no schema can say, that settings go together, `config check` says.
 */
export function batchSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'pseudolake batch configuration',
    ...BATCH.schema,
  }
}

/** The same of a stream's. */
export function streamSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'pseudolake stream configuration',
    ...STREAM.schema,
  }
}
