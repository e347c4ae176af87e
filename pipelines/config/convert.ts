/** From the original form of a configuration to the native one, as a file to go on with. Pure. */
import { Document, isMap, isScalar, type YAMLMap } from 'yaml'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { parseTree, specOf } from './load.ts'
import { fromOriginal, isOriginal, isStream, originalKeyOf, type Tree } from './original.ts'

export interface Converted {
  readonly native: Tree
  /** With a comment on each line that says which key it was. */
  readonly yaml: string
  /** What has no place in the native form. */
  readonly notes: readonly string[]
}

/**
 * @throws PseudolakeError `config/invalid` for a configuration that is native already, `config/unknown-key`
 */
export function convertConfig(source: string): Converted {
  const tree = parseTree(source)
  if (!isOriginal(tree))
    throw new PseudolakeError('config/invalid', 'the configuration is in the native form already', {
      hint: 'There is nothing to convert; `pseudolake config check` says whether it is right.',
    })
  const native = fromOriginal(tree)
  // Throws where a value is wrong: what is written must be readable.
  specOf(isStream(native) ? 'stream' : 'batch').read(native, '')
  const document = new Document(native)
  document.commentBefore = ' Converted from the original form. Every default: pseudolake config explain'
  if (isMap(document.contents)) annotate(document.contents, [], tree)
  return { native, yaml: document.toString({ lineWidth: 0 }), notes: [] }
}

function annotate(map: YAMLMap, words: readonly string[], tree: Tree): void {
  for (const { key, value } of map.items) {
    const here = [...words, String(isScalar(key) ? key.value : key)]
    if (isMap(value)) annotate(value, here, tree)
    else if (isScalar(value)) {
      const original = originalKeyOf(here, tree)
      value.comment = original === undefined ? ' as the original form has it' : ` was ${original}`
    }
  }
}
