/** What a run that stops prints as the way on: whole commands, so that nobody has to put one together. Pure. */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { shellWord } from '../../lib/core/shell-word.ts'
import type { BatchJob } from './job.ts'

/** @param onlyNew whether columns that came later are all that differs: anything else needs a table of its own */
export type ColumnsHint = (onlyNew: boolean) => string

/** @param command what the caller typed */
export function columnsHint(job: BatchJob, command: string): ColumnsHint {
  return (onlyNew) =>
    onlyNew
      ? `To leave new columns out: ${withSetting(command, 'schema_changes=drop')}; to add them, copied or as a rule says: ${withSetting(command, 'schema_changes=add')}`
      : newTableHint(job, command)
}

export function newTableHint(job: BatchJob, command: string): string {
  return `To write to a new table: ${withSetting(command, elsewhere(job))}`
}

/** A name is proposed; whoever has a better one sees where it goes. */
function elsewhere({ plain, database, table, settings }: BatchJob): string {
  return settings.output.path !== undefined && plain !== undefined
    ? `output.path=${plain}_new`
    : `output.table=${database}.${table}_new`
}

/** The command with one setting more, in the place of what it says of the same key. */
export function withSetting(command: string, setting: string): string {
  const key = setting.slice(0, setting.indexOf('=')).replaceAll('.', '\\.')
  return `${command.replaceAll(new RegExp(` --set (?:'${key}=[^']*'|${key}=\\S*)`, 'g'), '')} --set ${shellWord(setting)}`
}

/** Where nobody knows any more which rows an input's new content would take the place of. */
export function filesGoneHint(command: string): string {
  return `Restore the table to before, or take the old rows out by hand where they must go; then add the new content: ${withSetting(command, 'input.changed=append')}`
}

/** @throws what `check` throws, with the way on where files do not fit the table */
export function orWayOn<T>(hint: ColumnsHint, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (!isPseudolakeError(error, 'table/schema-changed') || error.context.hint !== undefined) throw error
    throw new PseudolakeError(error.code, error.message, { ...error.context, hint: hint(false) }, error)
  }
}
