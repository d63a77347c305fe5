/**
 * The rules of the house that a machine can hold: clock and randomness are handed in, errors are in the table, imports
 * point one way, nobody reaches around a package's exports, nothing of Node.js is reachable from a browser entry, and no
 * file names a package registry. Every rule is first shown a breach that it must find.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, posix, relative, sep } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))

/** The packages in their order: each imports only from those before it. */
const ORDER = ['runtime', 'sphinx', 'wire', 'client', 'node', 'directory', 'services', 'daemon', 'localnet', 'cli']

interface SourceFile {
  /** Relative to the root, with forward slashes. */
  readonly path: string
  readonly text: string
}

/** What an entry stands for, by condition. */
type Targets = Readonly<Record<string, Readonly<Record<string, string>>>>

interface Manifest {
  readonly exports?: Targets
  /** Names that begin with `#`, for the package itself. */
  readonly imports?: Targets
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const GENERATED = new Set(['node_modules', 'dist', 'target', 'coverage', '.git', '.mixwright'])

function filesUnder(directory: string): SourceFile[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return GENERATED.has(entry.name) ? [] : filesUnder(path)
    return entry.isFile() ? [{ path: relative(ROOT, path).split(sep).join('/'), text: readFileSync(path, 'utf8') }] : []
  })
}

const packages = readdirSync(join(ROOT, 'packages'))
const manifest = (name: string): Manifest =>
  JSON.parse(readFileSync(join(ROOT, 'packages', name, 'package.json'), 'utf8'))
const sourcesOf = (name: string, room: 'src' | 'test' = 'src') =>
  filesUnder(join(ROOT, 'packages', name, room)).filter(({ path }) => path.endsWith('.ts'))

/** The text without comments. A `//` inside a text literal such as a URL is left alone. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[\s;{}(,])\/\/.*$/gm, '$1')
}

const GLOBALS =
  /\b(?:Date\.now|performance\.now|Math\.random|process\.hrtime|AbortSignal\.timeout)\b|\b(?:setTimeout|setInterval|randomBytes|randomUUID|randomInt|getRandomValues)\s*\(|\bnew Date\(\)|['"](?:node:)?timers(?:\/promises)?['"]/g

function globalTimeOrRandomness({ path, text }: SourceFile): string[] {
  return [...code(text).matchAll(GLOBALS)].map(([found]) => `${path}: ${found}`)
}

/** Module names that a file imports or re-exports, also dynamically. */
function imports(text: string): string[] {
  return [...code(text).matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, name]) => name!)
}

/** The package of a module name, scope included. */
function packageNameOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/')
}

function wrongImports({ path, text }: SourceFile): string[] {
  const own = path.split('/')[1]!
  const { dependencies = {}, optionalDependencies = {} } = manifest(own)
  const declared = new Set([...Object.keys(dependencies), ...Object.keys(optionalDependencies)])
  return imports(text).flatMap((name) => {
    const complaint = (what: string) => [`${path}: ${what} ${name}`]
    if (name.startsWith('.')) {
      const target = relative(join(ROOT, 'packages', own), join(ROOT, dirname(path), name))
      return target.startsWith('..') ? complaint('leaves its package for') : []
    }
    if (name.startsWith('node:')) return []
    if (builtinModules.includes(name)) return complaint('lacks node: before')
    if (name.startsWith('#')) return manifest(own).imports?.[name] === undefined ? complaint('does not declare') : []
    const packageName = packageNameOf(name)
    if (!declared.has(packageName)) return complaint('does not declare')
    const [, room] = /^@mixwright\/([^/]+)/.exec(name) ?? []
    if (room === undefined) return []
    if (ORDER.indexOf(room) >= ORDER.indexOf(own)) return complaint('may not use the later')
    const entry = `.${name.slice(packageName.length)}`
    return manifest(room).exports?.[entry] === undefined ? complaint('reaches around the exports for') : []
  })
}

/** The source that a module name stands for in a browser; undefined for npm's packages and for Node.js's own modules. */
function browserTarget(from: string, name: string): string | undefined {
  if (name.startsWith('.')) return posix.join(posix.dirname(from), name).replace(/\.js$/, '.ts')
  const packageName = packageNameOf(name)
  const room = name.startsWith('#') ? from.split('/')[1]! : /^@mixwright\/(.+)$/.exec(packageName)?.[1]
  if (room === undefined) return undefined
  const { exports = {}, imports = {} } = manifest(room)
  const targets = name.startsWith('#') ? imports[name] : exports[`.${name.slice(packageName.length)}`]
  const target = targets?.browser ?? targets?.default
  assert.ok(target !== undefined, `${from}: nothing stands behind ${name}`)
  return `packages/${room}/${target.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts')}`
}

const NODE_GLOBALS = /(?<![\w.'"])(?:Buffer\b|process\.|setImmediate\b|__dirname\b|require\s*\()/g

/**
 * What a browser does not have and would meet: the modules and globals of Node.js in the entry and in everything that it
 * imports, dynamically too. Imports of types alone leave no trace in the product and are not followed.
 */
function nodeInBrowser(entry: string, read: (path: string) => string): string[] {
  const seen = new Set([entry])
  const found: string[] = []
  for (const path of seen) {
    const text = code(read(path)).replace(/\b(?:import|export)\s+type\b[^'"]*['"][^'"]+['"]/g, '')
    for (const [global] of text.matchAll(NODE_GLOBALS)) found.push(`${path}: ${global}`)
    for (const name of imports(text)) {
      if (name.startsWith('node:') || builtinModules.includes(name)) found.push(`${path}: ${name}`)
      const target = browserTarget(path, name)
      if (target !== undefined) seen.add(target)
    }
  }
  return found
}

/** Error codes as text literals. */
function codesIn(text: string): string[] {
  return [...code(text).matchAll(/['"`](MIX_[A-Z0-9_]*[A-Z0-9])['"`]/g)].map(([, found]) => found!)
}

/** Error codes of the first column of a table. */
function codesOfTable(markdown: string): string[] {
  return [...markdown.matchAll(/^\|\s*`(MIX_[A-Z0-9_]+)`\s*\|/gm)].map(([, found]) => found!)
}

// Put together here, so that this file does not name one itself.
const REGISTRIES = new RegExp(
  ['npmjs', 'yarnpkg', 'jsr', 'npmmirror'].map((host) => `https?://[^\\s"'<>)]*${host}`).join('|') +
    '|https?://[^\\s"\'<>)/]*registry|npm\\.pkg\\.github',
  'gi',
)

function registriesIn({ path, text }: SourceFile): string[] {
  return [...text.matchAll(REGISTRIES)].map(([found]) => `${path}: ${found}`)
}

describe('the rules find what they are for', () => {
  const file = (text: string, path = 'packages/wire/src/x.ts') => ({ path, text })

  it('global time and randomness', () => {
    const breaches = ['Date.now()', 'performance.now()', 'setTimeout(f, 1)', 'x.setInterval (f)', 'Math.random()']
    breaches.push('randomBytes(3)', 'crypto.getRandomValues(a)', 'new Date()', "import { x } from 'node:timers'")
    for (const text of breaches)
      assert.equal(globalTimeOrRandomness(file(`const url = 'http://x' + ${text}`)).length, 1)
    const fine =
      "clock.now()\n// Date.now() is not for us\n/* setTimeout(f) */\nnew Date(ms)\nclock.setTimer(1, 'random')"
    assert.deepEqual(globalTimeOrRandomness(file(fine)), [])
  })

  it('imports', () => {
    const breaches = [
      '@mixwright/wire',
      '@mixwright/node',
      '@mixwright/runtime/src/clock.js',
      '../../runtime/src/clock.js',
    ]
    breaches.push('left-pad', 'fs', 'ws')
    for (const name of breaches) {
      assert.equal(wrongImports(file(`import { x } from '${name}'`)).length, 1, name)
      assert.equal(wrongImports(file(`const x = await import('${name}')`)).length, 1, name)
      assert.equal(wrongImports(file(`export * from '${name}'`)).length, 1, name)
    }
    for (const name of ['node:fs', '@mixwright/runtime', '@mixwright/runtime/node', './y.js', '../src/y.js'])
      assert.deepEqual(wrongImports(file(`import '${name}'`)), [])
    assert.deepEqual(wrongImports(file("import { x } from '#crypto'", 'packages/sphinx/src/x.ts')), [])
    assert.equal(wrongImports(file("import { x } from '#crypto'")).length, 1)
  })

  it('what browsers lack, however far away', () => {
    const entry = 'packages/client/src/browser.ts'
    const met = (text: string, others: Readonly<Record<string, string>> = {}) =>
      nodeInBrowser(entry, (path) => (path === entry ? text : (others[path] ?? '')))
    for (const text of ["import 'node:fs'", "import { x } from 'fs'", "const x = await import('node:fs')"])
      assert.equal(met(text).length, 1, text)
    for (const text of ['Buffer.from(x)', 'x: Buffer', 'process.env', 'setImmediate(f)', "require('x')"])
      assert.equal(met(text).length, 1, text)
    const fine = "new ArrayBuffer(1)\nglobalThis.process?.env\nimport type { x } from 'node:fs'\n// Buffer"
    assert.deepEqual(met(fine), [])
    const behind = "import { x } from 'node:os'"
    assert.equal(met("export { x } from './a/b.js'", { 'packages/client/src/a/b.ts': behind }).length, 1)
    const sphinx = { 'packages/sphinx/src/index.ts': "export { x } from '#crypto'" }
    const viaPackage = "import { x } from '@mixwright/sphinx'"
    assert.equal(met(viaPackage, { ...sphinx, 'packages/sphinx/src/crypto/providers-browser.ts': behind }).length, 1)
    assert.deepEqual(met(viaPackage, { ...sphinx, 'packages/sphinx/src/crypto/providers-node.ts': behind }), [])
    assert.equal(
      met("import { x } from '@mixwright/runtime/node'", { 'packages/runtime/src/node.ts': behind }).length,
      1,
    )
  })

  it('error codes', () => {
    assert.deepEqual(codesIn("new MixError('MIX_A_1', `MIX_B`) // 'MIX_C'\n{ MIX_DENOM: 'unym' }"), [
      'MIX_A_1',
      'MIX_B',
    ])
    assert.deepEqual(codesOfTable('| `MIX_A` | usage |\nsee `MIX_B`\n|`MIX_C`| x |'), ['MIX_A', 'MIX_C'])
  })

  it('registries', () => {
    for (const host of ['registry.example.org/x', 'www.npm' + 'js.com/package/x', 'registry.npm' + 'js.org'])
      assert.equal(registriesIn(file(`"resolved": "https://${host}"`)).length, 1, host)
    assert.deepEqual(registriesIn(file('https://example.org/docs, the registry, http://127.0.0.1:1/registry')), [])
  })
})

describe('the house', () => {
  it('has the packages of the order, and no other', () => {
    assert.deepEqual([...packages].sort(), [...ORDER].sort())
  })

  it('hands clock and randomness in: nobody but runtime asks the machine', () => {
    const sources = packages.filter((name) => name !== 'runtime').flatMap((name) => sourcesOf(name))
    assert.ok(sources.length > 50, 'the sources were not found')
    assert.deepEqual(sources.flatMap(globalTimeOrRandomness), [])
  })

  it('imports only from packages before, through their exports, and only what it declares', () => {
    assert.deepEqual(packages.flatMap((name) => sourcesOf(name)).flatMap(wrongImports), [])
  })

  it('needs nothing of Node.js in a browser', () => {
    const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
    const entries = packages.flatMap((name) =>
      Object.values(manifest(name).exports ?? {}).flatMap(({ browser }) =>
        browser === undefined ? [] : [`packages/${name}/${browser.replace(/^\.\/dist\/(.*)\.js$/, '$1.ts')}`],
      ),
    )
    assert.ok(entries.includes('packages/client/src/browser.ts'))
    for (const entry of entries) assert.deepEqual(nodeInBrowser(entry, read), [])
  })

  it('exports only what is built from src, and every export is there', () => {
    for (const name of packages.filter((name) => name !== 'cli')) {
      const { exports = {}, imports = {} } = manifest(name)
      assert.ok(Object.keys(exports).length > 0, `${name} exports nothing`)
      for (const [entry, targets] of [...Object.entries(exports), ...Object.entries(imports)]) {
        for (const target of Object.values(targets)) {
          assert.match(target, /^\.\/dist\/src\/[^*]+\.(js|d\.ts)$/, `${name} ${entry}`)
          assert.ok(existsSync(join(ROOT, 'packages', name, target)), `${name} ${entry}: ${target} is missing`)
        }
      }
    }
  })

  it('lists every error code in docs/errors.md, once, and no other', () => {
    const inCode = new Set(packages.flatMap((name) => sourcesOf(name)).flatMap(({ text }) => codesIn(text)))
    const inTable = codesOfTable(readFileSync(join(ROOT, 'docs', 'errors.md'), 'utf8'))
    assert.deepEqual([...inTable].sort(), [...inCode].sort())
  })

  it('names no package registry in any file', () => {
    const files = filesUnder(ROOT)
    assert.ok(files.some(({ path }) => path === 'package-lock.json'))
    assert.deepEqual(files.flatMap(registriesIn), [])
  })

  it('opens every source file with what it is', () => {
    const silent = packages
      .flatMap((name) => sourcesOf(name))
      .filter(({ path, text }) => !path.endsWith('/index.ts') && !/^(#!.*\n)?(\/\*\*|\/\/)/.test(text))
    assert.deepEqual(
      silent.map(({ path }) => path),
      [],
    )
  })
})
