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
    ...withFormats(BATCH.schema),
  }
}

/** `format: { csv: … }` says both in one, as it is read (load.ts); settings of their own do not go with it. */
function withFormats(schema: JsonSchema): JsonSchema {
  const properties = schema.properties as Readonly<Record<string, JsonSchema>>
  const input = properties.input as JsonSchema
  const { format, csv, ...others } = input.properties as Readonly<Record<string, JsonSchema>>
  const both = { type: 'object', properties: { csv }, required: ['csv'], additionalProperties: false }
  const either = { ...others, format: { anyOf: [format, both] }, csv }
  const apart = { not: { required: ['csv', 'format'], properties: { csv: true, format: { type: 'object' } } } }
  return { ...schema, properties: { ...properties, input: { ...input, properties: either, ...apart } } }
}

/** The same of a stream's. */
export function streamSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'pseudolake stream configuration',
    ...STREAM.schema,
  }
}
