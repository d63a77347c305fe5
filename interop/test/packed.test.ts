/**
 * What users get: packages as `npm pack` makes them, installed into an empty project outside of this checkout. Where there is
 * no registry to take the dependencies from, the installing tests are skipped; in CI they fail.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { Network } from '@mixwright/localnet'
import { BrowserPage, skipWithoutChromium } from '../src/browser-page.js'
import { EmptyProject, pack, REPOSITORY, RegistryUnreachable, type Tarball } from '../src/empty-project.js'

const read = (path: string) => readFileSync(new URL(path, REPOSITORY), 'utf8')
const example = read('docs/examples/client-hello.mjs')

interface Manifest {
  readonly name: string
  readonly bin?: Targets
  readonly exports?: Targets
  readonly imports?: Targets
}
type Targets = string | { readonly [condition: string]: Targets }

/** The client, and what it is made of. */
const CLIENT = ['@mixwright/runtime', '@mixwright/sphinx', '@mixwright/wire', '@mixwright/client']
const directories = readdirSync(new URL('packages', REPOSITORY)).sort()
const manifests = new Map<string, Manifest>(
  directories.map((directory) => JSON.parse(read(`packages/${directory}/package.json`))).map((m) => [m.name, m]),
)

const VITE = 'vite@8.3.8'
/** The example reads the network's address from the environment, which pages have not. */
const VITE_CONFIG = `export default {
  define: { 'process.env.NYM_API': JSON.stringify(process.env.NYM_API) },
}
`
/** Keeps what the example prints. */
const PAGE = `<!doctype html>
<script>
  globalThis.printed = []
  console.log = (text) => printed.push(text)
</script>
<script type="module" src="./page.mjs"></script>
`

/** Every file that a manifest points at. */
function targets(from: Targets | undefined): string[] {
  if (from === undefined) return []
  return typeof from === 'string' ? [from.replace(/^\.\//, '')] : Object.values(from).flatMap(targets)
}

for (const name of ['client-hello', 'service']) {
  it(`the README shows ${name}.mjs as it is`, () => {
    const [, shown] =
      new RegExp(`<!-- ${name} -->\\n\`\`\`js\\n([\\s\\S]*?)\`\`\`\\n<!-- /${name} -->`).exec(read('README.md')) ?? []
    assert.equal(shown, read(`docs/examples/${name}.mjs`))
  })
}

describe('packed', () => {
  const project = new EmptyProject()
  const tarballs = new Map<string, Tarball>()
  before(async () => {
    for (const tarball of await pack(directories, project.path)) tarballs.set(tarball.name, tarball)
  })
  after(() => project[Symbol.dispose]())

  it('packages hold what they point at, a README, and no tests', () => {
    assert.deepEqual([...tarballs.keys()].sort(), [...manifests.keys()].sort())
    for (const [name, { files }] of tarballs) {
      const paths = new Set(files.map(({ path }) => path))
      const { bin, exports, imports } = manifests.get(name)!
      const missing = ['README.md', ...targets(bin), ...targets(exports), ...targets(imports)].filter(
        (path) => !paths.has(path),
      )
      const superfluous = [...paths].filter((path) => /(^|\/)test\/|\.test\.|tsbuildinfo|\.env|\.db$/.test(path))
      assert.deepEqual({ name, missing, superfluous }, { name, missing: [], superfluous: [] })
    }
  })

  describe('and installed', () => {
    let net: Network
    let unreachable: string | undefined
    const install = async (...packages: string[]) => {
      try {
        if (unreachable === undefined) await project.install(...packages)
      } catch (error) {
        if (!(error instanceof RegistryUnreachable) || process.env.CI === 'true') throw error
        unreachable = error.message
      }
    }
    const files = (names: readonly string[]) => names.map((name) => `./${tarballs.get(name)!.filename}`)
    const skipped = (t: TestContext) => {
      if (unreachable !== undefined) t.skip(`no package registry: ${unreachable}`)
      return unreachable !== undefined
    }
    before(async () => {
      net = await Network.start({ mixes: 3, gateways: 1 })
      project.write('client-hello.mjs', example)
      await install(...files(CLIENT))
    })
    after(() => net?.close())

    it('the client alone runs the example in Node.js', async (t) => {
      if (skipped(t)) return
      const finished = await project.run(['client-hello.mjs'], { NYM_API: net.nymApiUrl })
      assert.deepEqual(finished, { code: 0, stdout: 'hello world\n', stderr: '' })
    })

    it('a page built of it by vite runs the example in Chromium', { skip: skipWithoutChromium }, async (t) => {
      await install(VITE)
      if (skipped(t)) return
      project.write('index.html', PAGE)
      project.write('page.mjs', "import './client-hello.mjs'\nglobalThis.done = true\n")
      project.write('vite.config.mjs', VITE_CONFIG)
      const vite = join('node_modules', 'vite', 'bin', 'vite.js')
      const built = await project.run([vite, 'build', '--logLevel', 'warn'], { NYM_API: net.nymApiUrl })
      assert.deepEqual(built, { code: 0, stdout: '', stderr: '' })
      await using browser = await BrowserPage.open(project.served('dist'), '/index.html')
      await browser.page.waitForFunction('globalThis.done')
      assert.deepEqual(await browser.page.evaluate('printed'), ['hello world'])
      assert.deepEqual(browser.problems, [])
    })

    it('the command brings its own network for the example', async (t) => {
      await install(...files([...manifests.keys()].filter((name) => !CLIENT.includes(name))))
      if (skipped(t)) return
      const command = join('node_modules', 'mixwright', 'bin', 'mixwright.mjs')
      const { code, stdout, stderr } = await project.run([command, 'exec', '--', process.execPath, 'client-hello.mjs'])
      assert.deepEqual([code, stdout], [0, 'hello world\n'], stderr)
    })
  })
})
