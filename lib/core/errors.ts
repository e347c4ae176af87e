/**
 * Every failure a caller can act on, in one table.
 *
 * The table is the source of docs/errors.md, of the exit status and of `--json` failures, so a code exists only here.
 * Messages name the place, the type and the length of what went wrong, never a value: a log is read by more people than the data.
 */
export const ERRORS = {
  'options/invalid': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'A command-line option or an argument of a function is not of the form it must have.',
    fix: 'Correct the option; expected and got are printed.',
  },
  'config/invalid': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'A configuration value is missing, of another type, or does not go with another one.',
    fix: 'Correct the key that is named; `docs/configuration.md` lists them all.',
  },
  'config/unknown-key': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'A configuration key is not one of the known ones.',
    fix: 'Use the nearest known key, which is printed, or remove it.',
  },
  'config/overlap': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'Input and output lie inside each other, so a run could read what it writes.',
    fix: 'Choose an output outside the input.',
  },
  'input/not-found': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The input path names no file, or no file that is not hidden (names that start with _ or .).',
    fix: 'Check the path that is printed.',
  },
  'input/column-missing': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'A configured column is not in the input.',
    fix: 'Correct the name; the nearest ones in the file are printed.',
  },
  'input/not-parquet': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The file does not begin and end as a Parquet file does.',
    fix: 'Set `input.format`, or remove the file from the input.',
  },
  'input/not-csv': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The file is of another format, packed in a way that is not read, or has no record.',
    fix: 'Set `input.format`, unpack the file or pack it with gzip, or remove it from the input.',
  },
  'input/corrupt': {
    exit: 2,
    retryable: false,
    who: 'data owner',
    cause: 'The file is cut off, or its bytes contradict its own footer or headers.',
    fix: 'Write the file again from its source; the place is printed.',
  },
  'input/encrypted': {
    exit: 2,
    retryable: false,
    who: 'data owner',
    cause: 'The Parquet file is encrypted.',
    fix: 'Give decrypted input; keys for Parquet encryption are not supported.',
  },
  'input/unsupported': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The input holds a type, an encoding or a codec that cannot be kept exactly.',
    fix: 'Drop the column (mode: drop) or convert it first; docs/types.md has the table.',
  },
  'input/mixed-schemas': {
    exit: 2,
    retryable: false,
    who: 'data owner',
    cause: 'Files of one input have different columns or types.',
    fix: 'Give each schema an input and a job of its own.',
  },
  'input/value-invalid': {
    exit: 2,
    retryable: false,
    who: 'data owner',
    cause: 'A value of a sensitive column has no canonical text: invalid UTF-8, longer than 64 KiB, NaN, out of range.',
    fix: 'Correct the source; file, column, row group and index are printed, the value never.',
  },
  'input/changed': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'An input that was done has other content now.',
    fix: 'Set input.changed to append or replace, or restore the file.',
  },
  'output/exists': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'There is something at the output path already, and it is not overwritten.',
    fix: 'Choose another path, or remove what is there.',
  },
  'storage/not-found': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'There is no object at the location.',
    fix: 'Check the location; it is printed with the error.',
  },
  'storage/denied': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'Reading or writing the location is not allowed.',
    fix: 'Give the running user access to the location that is printed.',
  },
  'storage/conflict': {
    exit: 3,
    retryable: false,
    who: 'caller',
    cause: 'Somebody else wrote the location first.',
    fix: 'Read again, then run again.',
  },
  'storage/changed': {
    exit: 3,
    retryable: false,
    who: 'caller',
    cause: 'The object changed while it was read.',
    fix: 'Run again.',
  },
  'storage/full': {
    exit: 3,
    retryable: false,
    who: 'operator',
    cause: 'The disk or the quota is full.',
    fix: 'Free room, then run again; nothing that was committed is lost.',
  },
  'storage/failed': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause: 'The storage answered with an error of its own.',
    fix: 'Run again; if it stays, look at the cause that is printed.',
  },
  'storage/unknown': {
    exit: 3,
    retryable: false,
    who: 'operator',
    cause: 'A write may or may not have happened: its answer was lost.',
    fix: 'Run again; nothing that was committed is lost. Delete nothing by hand.',
  },
  'storage/wrong-region': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The bucket is in another region than the one that is configured.',
    fix: 'Set aws.region to the region that is printed, in the section of the bucket.',
  },
  'storage/unsupported': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The store at the endpoint does not do what is needed: conditional writes, ranges, uploads in parts.',
    fix: 'Use a store that does; docs/s3.md has the list.',
  },
  'aws/no-credentials': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'No AWS credentials were found, or those that were found have expired or are not valid.',
    fix: 'Sign in, set AWS_PROFILE or the AWS_* variables, or give the machine a role; docs/aws.md has the order.',
  },
  'aws/denied': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'AWS does not allow the action.',
    fix: 'Grant the action that is printed on the resource that is printed; docs/aws.md has the policies.',
  },
  'aws/failed': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause: 'AWS could not be asked, or answered with an error of its own.',
    fix: 'Run again; if it stays, look at the name of the error that is printed.',
  },
  'secret/not-found': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'Secrets Manager has no secret of that name, or KMS no key, in the account and region that were asked.',
    fix: 'Check the name, and `aws.region` and `aws.role_arn` of the section that names it.',
  },
  'secret/denied': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'Reading the secret, decrypting it, or using the KMS key is not allowed.',
    fix: 'Grant the action that is printed; docs/aws.md has the policy.',
  },
  'secret/invalid': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause:
      'The secret is binary, empty, marked for deletion, or not of the documented form; the KMS key is of another kind.',
    fix: 'Put the documented form into the secret; what is wrong is printed, nothing of the secret is.',
  },
  'secret/unavailable': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause: 'Secrets Manager or KMS could not be asked, or answered with an error of its own.',
    fix: 'Run again; if it stays, look at the name of the error that is printed.',
  },
  'service/unavailable': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause: 'The service could not be reached, or answered 5xx, 408 or something that is no answer of it.',
    fix: 'Check that the service runs at the URL printed, then run again.',
  },
  'service/throttled': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause: 'The service answered 429 or 503 for longer than the retry budget.',
    fix: 'Raise the service’s limits or lower limits.max_concurrency, then run again.',
  },
  'service/timeout': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause: 'The service did not answer in time.',
    fix: 'Check the service, then run again.',
  },
  'service/denied': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The service answered 401 or 403: the API key is missing, wrong, expired, or not allowed this.',
    fix: 'Correct service.api_key or have the permission granted.',
  },
  'service/refused': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The service refused the request as malformed, unknown or not allowed (400, 404, 405, 415, 422).',
    fix: 'Check service.url, the domain and the key id; the service’s code is printed.',
  },
  'service/too-large': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The service refused a request of a single value as too large (413).',
    fix: 'Raise the service’s limit, or correct the value at the place printed.',
  },
  'service/bad-answer': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause:
      'The service’s answer cannot be right: another length, a null, an identifier sent back, no known form, one pseudonym for two values, another domain or key.',
    fix: 'Do not use this service before it is corrected; nothing of the answer was written.',
  },
  'service/no-callers': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The service was given no way to tell its callers apart.',
    fix: 'Give --api-keys FILE or PSEUDOLAKE_API_KEY; --insecure-no-auth is for tests on loopback.',
  },
  'service/port-in-use': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The service cannot listen on the address.',
    fix: 'Choose another --port or --host.',
  },
  'audit/unsupported': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The record of calls was written by a newer version.',
    fix: 'Use that version, or a later one, to look at it.',
  },
  'keyring/not-found': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'There is no keyring at the path.',
    fix: '`pseudolake keys create --out FILE` makes one.',
  },
  'keyring/exists': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'There is a keyring at the path already; overwriting it would lose every pseudonym made with it.',
    fix: 'Choose another --out.',
  },
  'keyring/invalid': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The keyring or secret is not of the documented form, or of a newer version.',
    fix: 'Restore it from its backup; the field at fault is printed.',
  },
  'keyring/readable': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'Others than its owner can read the keyring.',
    fix: 'chmod 600 the file, and think about who may have read it.',
  },
  'keyring/unknown-domain': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The keyring has no such domain.',
    fix: 'Use one of its domains (`pseudolake keys show`).',
  },
  'keyring/unknown-key': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The domain has no such key id, or the key’s state does not allow this.',
    fix: 'Use a key that `pseudolake keys show` lists as active.',
  },
  'keyring/state': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The state that a key is in does not allow the change.',
    fix: 'docs/keys.md has the states and what leads from one to another; the way there is printed.',
  },
  'keyring/shares': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'There are too few shares or private keys to open a backup, or one is not of this backup.',
    fix: 'Give as many as the backup was made for (--share, --identity); which one is wrong is printed.',
  },
  'keyring/busy': {
    exit: 3,
    retryable: false,
    who: 'operator',
    cause: 'Another change of the keyring is under way, or one was killed in the middle.',
    fix: 'Run again when the other is done; where there is none, remove the file that is printed: the keyring is as it was before.',
  },
  'pseudonym/invalid': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'A text is no pseudonym of this keyring: not canonical, cut, altered, or made with another key.',
    fix: 'Check where the value at the printed index comes from.',
  },
  'identifier/invalid': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'An identifier is not well-formed Unicode (a lone surrogate), or longer than 64 KiB of UTF-8.',
    fix: 'Correct the source of the value at the printed index.',
  },
  'table/not-found': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'There is no Iceberg table at the location.',
    fix: 'Check the location, or let the run create it (output.create).',
  },
  'table/invalid': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The table’s metadata or a manifest cannot be read as the specification says.',
    fix: 'Restore the table; the file and field are printed.',
  },
  'table/unsupported': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The table is partitioned, of format version 3, or otherwise beyond what this version writes.',
    fix: 'Write to a table of its own.',
  },
  'table/schema-changed': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The input’s columns or types are not those the table was approved for.',
    fix: 'Set schema_changes (new_fields of a stream), or write to a new table.',
  },
  'table/key-changed': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The service’s key, domain or format is not the one the table was made with; joins would break in silence.',
    fix: 'Use the service the table was made with, or run with --allow-key-change.',
  },
  'table/changed': {
    exit: 3,
    retryable: false,
    who: 'operator',
    cause: 'The table itself, its pins or what it was approved for changed while the run was at work.',
    fix: 'Run again: it plans from the table as it is now.',
  },
  'table/mark-changed': {
    exit: 3,
    retryable: false,
    who: 'operator',
    cause: 'Another run of this job has committed since this one was planned.',
    fix: 'Run again: it continues after the other’s last commit.',
  },
  'table/mark-unreadable': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'What the table remembers of the job cannot be read, or the table was rolled back behind it.',
    fix: 'Follow the command that is printed; nothing is processed twice without being told to.',
  },
  'table/no-mark': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The table has rows, and no mark of this job says which inputs they came from.',
    fix: 'Run once with --adopt all (inputs present now are done) or --adopt none.',
  },
  'table/commit-overwritten': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause:
      'The table has rows and no mark of this job, though the job has committed to it: a writer that sends no version has put an older state of the table over the job’s first commits.',
    fix: 'Make that writer use versions (no lock manager of its own, no restored catalog). What the commits had put in is not in the table any more: run once with --adopt none, which reads the inputs again.',
  },
  'table/files-gone': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause:
      'A data file that was to be replaced is no longer in the table: a compaction or a delete of somebody else took it.',
    fix: 'Its rows are in other files now. Set input.changed to append or fail, or restore the table to before.',
  },
  'table/conflict': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause:
      'Other writers kept changing the table for longer than the retry budget, or changed the very files that were to be rewritten.',
    fix: 'Run again.',
  },
  'table/commit-unknown': {
    exit: 3,
    retryable: false,
    who: 'operator',
    cause: 'The commit may or may not have happened: its answer was lost.',
    fix: 'Run again: the table’s mark tells whether it happened. Delete nothing by hand.',
  },
  'catalog/denied': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The catalog (Glue, Iceberg REST) refused the credentials, or they lack the action or grant that is named.',
    fix: 'Give the role the action that is printed, and under Lake Formation the grant; docs/catalogs.md has the policies.',
  },
  'catalog/refused': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The catalog refused the request as it is: a name, a limit, or something it does not support.',
    fix: 'See what the catalog said; docs/catalogs.md lists the limits.',
  },
  'catalog/unavailable': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause:
      'The catalog could not be reached, throttled for longer than the retries last, or failed itself; nothing was published.',
    fix: 'Check the catalog’s endpoint and its state, then run again.',
  },
  'gate/failed': {
    exit: 1,
    retryable: false,
    who: 'operator',
    cause: 'What was about to be published is not what was planned.',
    fix: 'Nothing of the step was published; the failed check is printed.',
  },
  'query/failed': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The SQL engine refused the query.',
    fix: 'Correct the query; table names are those given by --table.',
  },
  'query/too-large': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'The files of the tables lie in a store, and are more than a query may copy to this machine.',
    fix: 'Raise --max-fetch-mb, where the disk has room, or use an engine beside the store: Athena, Trino, Spark.',
  },
  'kinesis/not-found': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'There is no stream of that name in the account and region that were asked.',
    fix: 'Check the name, the region and the endpoint.',
  },
  'kinesis/denied': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The action on the stream, or on the key that it is encrypted with, is not allowed, or the key is disabled.',
    fix: 'Grant the action that is printed, or enable the key; docs/aws.md has the policies.',
  },
  'kinesis/refused': {
    exit: 2,
    retryable: false,
    who: 'caller',
    cause: 'Kinesis refused the request as it is: a name, a limit, or something the endpoint does not support.',
    fix: 'Look at the name of the error that is printed.',
  },
  'kinesis/throttled': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause: 'Kinesis refused requests as too many for longer than the retry budget.',
    fix: 'Give the stream more shards, or take other readers or writers off it, then run again.',
  },
  'kinesis/unavailable': {
    exit: 3,
    retryable: true,
    who: 'operator',
    cause: 'Kinesis could not be reached, or answered with an error of its own.',
    fix: 'Run again; if it stays, look at the name of the error that is printed.',
  },
  'kinesis/trimmed': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause:
      'Records may have expired before they were read: the position of a shard is older than the stream’s retention, or the shard is gone.',
    fix: 'Find out which arrival times are missing, then follow the command that is printed; nothing is skipped without being told to.',
  },
  'kinesis/stream-changed': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'The stream is not the one the positions are of: it was deleted and made anew, or another one was named.',
    fix: 'Name the stream that the table was made from, or follow the command that is printed.',
  },
  'stream/bad-record': {
    exit: 2,
    retryable: false,
    who: 'data owner',
    cause:
      'A record is no JSON object, or has a value that its column or a pseudonym can’t be made of, and there is no quarantine.',
    fix: 'Correct the producer, and set `quarantine` so that such records are sealed and the stream goes on; shard and sequence number are printed.',
  },
  'stream/too-many-bad': {
    exit: 2,
    retryable: false,
    who: 'data owner',
    cause: 'More records could not be read than `quarantine.max_records` allows for one run.',
    fix: 'Find out what they have in common (`pseudolake quarantine list`), correct the producer or the schema, then run again.',
  },
  'quarantine/unreadable': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'A sealed object or a list of them is gone or was changed, or the key does not open it.',
    fix: 'Use the private key of the recipient that is printed, or ask KMS as who may; restore the object where it is gone.',
  },
  'run/interrupted': {
    exit: 3,
    retryable: false,
    who: 'caller',
    cause: 'The run was told to stop.',
    fix: 'Run again: committed steps stand.',
  },
  'environment/missing': {
    exit: 2,
    retryable: false,
    who: 'operator',
    cause: 'Something the command needs is not installed.',
    fix: 'Install what is printed.',
  },
  'internal/bug': {
    exit: 3,
    retryable: false,
    who: 'maintainers',
    cause: 'A state that should be impossible.',
    fix: 'Report it with the stack that is printed.',
  },
} as const satisfies Record<string, ErrorSpec>

export type ErrorCode = keyof typeof ERRORS

interface ErrorSpec {
  /** Exit status of the command line (docs/cli.md). */
  readonly exit: 1 | 2 | 3
  /** Whether this very call may succeed later, as it is. A conflict may not: its caller must read again and plan anew. */
  readonly retryable: boolean
  /** Who can mend it. */
  readonly who: 'caller' | 'operator' | 'data owner' | 'maintainers'
  readonly cause: string
  readonly fix: string
}

/** Names and numbers only. A string that came out of a column, a key or a request body has no place here. */
export type ErrorContext = Readonly<Record<string, string | number | boolean | readonly number[] | readonly string[]>>

/** Thrown on purpose, for the caller. Anything else that is thrown is a bug. */
export class PseudolakeError extends Error {
  override readonly name = 'PseudolakeError'
  readonly code: ErrorCode
  readonly context: ErrorContext

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.context = context
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable
  }
}

/** True for a PseudolakeError, with one of `codes` where any are given. */
export function isPseudolakeError(error: unknown, ...codes: ErrorCode[]): error is PseudolakeError {
  return error instanceof PseudolakeError && (codes.length === 0 || codes.includes(error.code))
}
