// Puts the modules of the package together in few files: `node scripts/bundle.js FOLDER`, `dist` by default. Of 150 modules a command would
// look each up, read it, read what is stored of it compiled, and link it: a quarter of the CPU that its start takes (docs/evidence.md).
// Plain JavaScript: npm runs it on the host's Node.
import { dirname, join, relative } from 'node:path'
import { rolldown } from 'rolldown'

/** What others import or start, each at the place that it has in a checkout. */
const ENTRIES = [
  'index',
  'lib/parquet/index',
  'lib/iceberg/index',
  'lib/client/index',
  'service/index',
  'pipelines/stream/index',
  'cli/main',
  'pipelines/batch/threads/worker',
  'service/operations/threads/worker',
]

const root = process.cwd()
/** What so many entries and commands have in common is in one file: a dozen small ones take longer to load than what is not needed of it. */
const SHARED = 6
/** Of a file of ours, in the place of its URL until it is known which bundle it comes into. */
const MARK = 'pseudolake-module:'

/** What a module finds beside it (a kernel, a thread's first file, package.json) is beside where it would be if it was a file. */
const places = {
  name: 'places',
  transform(code, id) {
    if (!code.includes('import.meta.url')) return undefined
    const module = relative(root, id).replace(/\.ts$/, '.js')
    return code.replaceAll('import.meta.url', `new URL('${MARK}${module}', import.meta.url).href`)
  },
  renderChunk(code, { fileName }) {
    return code.replaceAll(new RegExp(`${MARK}([^"'\`]+)`, 'g'), (_, module) => {
      const path = relative(dirname(fileName), module)
      return path.startsWith('.') ? path : `./${path}`
    })
  },
}

/**
 * Node's own modules are asked for and not imported: an import reads all that a module exports, and that loads streams, WebCrypto and more that
 * nobody here has asked for.
 */
const builtins = {
  name: 'builtins',
  renderChunk(code) {
    const imports = /^import (?:(?:\* as )?([\w$]+))?(?:, )?({[^}]+})? from "(node:[^"]+)";$/gm
    return code.replaceAll(imports, (_, whole, names, module) =>
      [whole, names?.replaceAll(/([\w$]+) as ([\w$]+)/g, '$1: $2')]
        .filter((taken) => taken !== undefined)
        .map((taken) => `const ${taken} = process.getBuiltinModule("${module}");`)
        .join('\n'),
    )
  },
}

/** What the command line needs before it knows its command stays apart: `pseudolake --version` has no use for more. */
const ofMain = new Set()
const commandLine = {
  name: 'command-line',
  buildEnd() {
    const add = (id) => {
      if (ofMain.has(id)) return
      ofMain.add(id)
      this.getModuleInfo(id)?.importedIds.forEach(add)
    }
    add(join(root, 'cli/main.ts'))
  },
}

const bundle = await rolldown({
  input: Object.fromEntries(ENTRIES.map((entry) => [entry, `${entry}.ts`])),
  platform: 'node',
  external: (id) => !/^[./]/.test(id),
  plugins: [places, builtins, commandLine],
  onLog(level, { code, message }) {
    // What one module imports when it needs it, another does at once.
    if (code !== 'INEFFECTIVE_DYNAMIC_IMPORT') throw new Error(`${level}: ${message}`)
  },
})
await bundle.write({
  dir: process.argv[2] ?? 'dist',
  format: 'esm',
  chunkFileNames: 'shared/[name]-[hash].js',
  comments: { legal: false, annotation: false, jsdoc: false },
  codeSplitting: {
    groups: [
      { name: 'start', test: (id) => ofMain.has(id), minShareCount: 2, priority: 1 },
      { name: 'base', minShareCount: SHARED },
    ],
  },
})
await bundle.close()
