/**
 * Writes docs/openapi.json: the service's HTTP contract as OpenAPI 3.1, made of the constants that service and client use
 * (`npm run build:openapi`). A test fails when it is stale, and another one holds a running service to it.
 */
import { writeFileSync } from 'node:fs'
import {
  ACTIONS,
  DEFAULT_DOMAIN,
  type Direction,
  DOMAIN_PATTERN,
  FIELDS,
  HEADERS,
  KEY_ID_PATTERN,
  MAX_BODY_BYTES,
  MAX_IDENTIFIER_BYTES,
  MAX_VALUES,
  PURPOSE_PATTERN,
} from '../lib/wire/contract.ts'
import { MAX_ITEM_ERRORS, PROBLEM_TYPE, PROBLEMS, type ProblemCode } from '../lib/wire/problem.ts'

type Json = { readonly [key: string]: Json } | readonly Json[] | string | number | boolean | null

/** Problems that only one direction has. */
const ONLY: Readonly<Partial<Record<ProblemCode, Direction>>> = {
  'identifier/not-unicode': 'pseudonymize',
  'identifier/invalid': 'pseudonymize',
  'pseudonym/invalid': 'reidentify',
  'request/purpose': 'reidentify',
  // A way forward gives nothing away, and is answered all the same.
  'service/audit': 'reidentify',
}

const WHAT = {
  pseudonymize: {
    summary: 'Identifiers to pseudonyms',
    value: 'An identifier. Numbers and booleans count as they are spelt; a null gives a null.',
    request: `Up to ${MAX_VALUES} identifiers of ${MAX_IDENTIFIER_BYTES} bytes of UTF-8 each, ${MAX_BODY_BYTES} bytes in all`,
    example: { identifiers: ['WVWZZZ1JZXW000001', null] },
    answer: 'A pseudonym for each identifier, in the same order',
  },
  reidentify: {
    summary: 'Pseudonyms to identifiers',
    value: 'A pseudonym of the domain, of any of its keys and either format; a null gives a null.',
    request: `Up to ${MAX_VALUES} pseudonyms, ${MAX_BODY_BYTES} bytes in all`,
    example: { pseudonyms: [null] },
    answer: 'An identifier for each pseudonym, in the same order',
  },
} as const satisfies Record<Direction, object>

/** The whole document. */
export function openapi(): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'pseudolake',
      version: '1',
      description:
        'Turns identifiers into pseudonyms and back. One path segment may stand before each path, as an API Gateway stage does. See docs/service.md.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }, { url: '/{stage}', variables: { stage: { default: 'Dev' } } }],
    paths: {
      [`/${ACTIONS.pseudonymize}`]: { post: operation('pseudonymize') },
      [`/${ACTIONS.reidentify}`]: { post: operation('reidentify') },
      '/health': { get: probe('health', 'Whether the process answers', { ok: 200 }) },
      '/ready': {
        get: probe('ready', 'Whether calls should be sent here', { ready: 200, draining: 503, audit: 503, busy: 503 }),
      },
      '/metrics': {
        get: {
          operationId: 'metrics',
          summary: 'Counts for Prometheus; they name no caller, domain, key or value',
          security: [],
          responses: {
            200: {
              description: 'Prometheus text format',
              headers: common(),
              content: { 'text/plain': { schema: { type: 'string' } } },
            },
          },
        },
      },
    },
    components: {
      securitySchemes: { apiKey: { type: 'apiKey', in: 'header', name: HEADERS.apiKey } },
      schemas: {
        Problem: {
          type: 'object',
          description: 'RFC 9457. Programs go by the code. It never quotes a value.',
          required: ['type', 'title', 'status', 'code', 'detail', 'message'],
          additionalProperties: false,
          properties: {
            type: { const: 'about:blank' },
            title: { type: 'string' },
            status: { type: 'integer' },
            code: { enum: Object.keys(PROBLEMS) },
            detail: { type: 'string' },
            message: { type: 'string', description: 'The title, where callers of API Gateway look for it' },
            errors: {
              type: 'array',
              maxItems: MAX_ITEM_ERRORS,
              description: 'Which values are at fault; the first ones',
              items: {
                type: 'object',
                required: ['index', 'code'],
                additionalProperties: false,
                properties: { index: { type: 'integer', minimum: 0 }, code: { type: 'string' } },
              },
            },
          },
        },
      },
    },
  }
}

function operation(direction: Direction): Json {
  const { request, answer } = FIELDS[direction]
  const what = WHAT[direction]
  return {
    operationId: direction,
    summary: what.summary,
    security: [{ apiKey: [] }],
    parameters: [
      {
        name: 'deterministic',
        in: 'query',
        description:
          direction === 'pseudonymize'
            ? 'Same identifier, same pseudonym; in any case of letters. Missing: a new pseudonym each time'
            : 'Ignored, as callers of both directions send it to both',
        schema:
          direction === 'pseudonymize'
            ? { type: 'string', pattern: '^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$' }
            : { type: 'string' },
      },
      {
        name: 'domain',
        in: 'query',
        description: 'What is pseudonymized in two domains can’t be joined',
        schema: { type: 'string', pattern: DOMAIN_PATTERN.source, default: DEFAULT_DOMAIN },
      },
      {
        name: 'key',
        in: 'query',
        description: 'Pins a key of the domain; its primary one by default',
        schema: { type: 'string', pattern: KEY_ID_PATTERN.source },
      },
      ...(direction === 'reidentify'
        ? [
            {
              name: HEADERS.purpose,
              in: 'header',
              description: 'What it is for, where the caller was granted the way back for purposes; it goes on record',
              schema: { type: 'string', pattern: PURPOSE_PATTERN.source },
            },
          ]
        : []),
    ],
    requestBody: {
      required: true,
      description: what.request,
      content: {
        'application/json': {
          schema: {
            type: 'object',
            required: [request],
            properties: {
              [request]: {
                type: 'array',
                maxItems: MAX_VALUES,
                items: {
                  description: what.value,
                  type: ['string', 'number', 'boolean', 'null'],
                  maxLength: MAX_IDENTIFIER_BYTES,
                },
              },
            },
          },
          example: what.example,
        },
      },
    },
    responses: {
      200: {
        description: what.answer,
        headers: {
          ...common(),
          [HEADERS.domain]: header('The domain that was used', { type: 'string' }),
          [HEADERS.key]: header(
            direction === 'pseudonymize'
              ? 'The id of the key that was used'
              : 'The ids of the keys that were used, with commas',
            { type: 'string' },
          ),
        },
        content: {
          'application/json': {
            schema: {
              type: 'object',
              required: [answer],
              additionalProperties: false,
              properties: { [answer]: { type: 'array', maxItems: MAX_VALUES, items: { type: ['string', 'null'] } } },
            },
          },
        },
      },
      ...problems(direction),
    },
  }
}

/** By status, with the codes that it comes with. */
function problems(direction: Direction): Readonly<Record<string, Json>> {
  const codes = (Object.keys(PROBLEMS) as ProblemCode[]).filter(
    (code) => ONLY[code] === undefined || ONLY[code] === direction,
  )
  const statuses = [...new Set(codes.map((code) => PROBLEMS[code].status))].sort((a, b) => a - b)
  return Object.fromEntries(
    statuses.map((status) => {
      const own = codes.filter((code) => PROBLEMS[code].status === status)
      const waits = status === 429 || status === 503
      const problem = {
        description: own.map((code) => `\`${code}\`: ${PROBLEMS[code].says}`).join('. '),
        headers: {
          ...common(),
          ...(waits && { 'retry-after': header('Seconds', { type: 'string', pattern: '^[0-9]+$' }) }),
          ...(status === 405 && { allow: header('The methods that the path takes', { type: 'string' }) }),
        },
        content: {
          [PROBLEM_TYPE]: {
            schema: {
              allOf: [
                { $ref: '#/components/schemas/Problem' },
                { type: 'object', properties: { status: { const: status }, code: { enum: own } } },
              ],
            },
          },
        },
      }
      // What is refused before it is a request has no name in the log.
      const unnamed = status === 408 || status === 431
      return [status, unnamed ? { ...problem, headers: {} } : problem]
    }),
  )
}

function probe(operationId: string, summary: string, statuses: Readonly<Record<string, number>>): Json {
  const byStatus = Object.groupBy(Object.entries(statuses), ([, status]) => String(status))
  return {
    operationId,
    summary,
    security: [],
    responses: Object.fromEntries(
      Object.entries(byStatus).map(([status, words = []]) => [
        status,
        {
          description: words.map(([word]) => word).join(', '),
          headers: common(),
          content: {
            'application/json': {
              schema: {
                type: 'object',
                required: ['status'],
                additionalProperties: false,
                properties: { status: { enum: words.map(([word]) => word) } },
              },
            },
          },
        },
      ]),
    ),
  }
}

function common(): Readonly<Record<string, Json>> {
  return {
    [HEADERS.requestId]: header('Names the call in the service’s log and record', { type: 'string' }),
    'cache-control': header('Always `no-store`', { const: 'no-store' }),
  }
}

function header(description: string, schema: Json): Json {
  return { description, required: true, schema }
}

/** As it stands in docs/openapi.json. */
export function openapiText(): string {
  return `${JSON.stringify(openapi(), undefined, 2)}\n`
}

if (import.meta.main) writeFileSync(new URL('../docs/openapi.json', import.meta.url), openapiText())
