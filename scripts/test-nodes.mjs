// `npm run test:nodes`: the whole test suite on every Node.js version that we support.
//
//   npm run test:nodes -- --only 22
import './require-node.mjs'

const { spawn, spawnSync } = await import('node:child_process')
const { existsSync, mkdirSync } = await import('node:fs')
const { delimiter, dirname, join } = await import('node:path')
const { npmCommand } = await import('./npm-command.mjs')
const { prepare } = await import('./prepare.mjs')
const { ROOT } = await import('./project-files.mjs')

const VERSIONS = ['20', '22', '24']
const CACHE = join(ROOT, 'node_modules', '.mixwright', 'nodes')

const versions = chosen(process.argv.slice(2))
await prepare()
const rows = []
for (const version of versions) rows.push(await testOn(version))
console.log(`\n${['Node.js', 'tests', 'pass', 'fail', 'skipped', 'seconds', 'result'].map(cell).join('')}`)
for (const row of rows) console.log(row.map(cell).join(''))
process.exitCode = rows.every((row) => row.at(-1) === 'ok') ? 0 : 1

function chosen(args) {
  if (args.length === 0) return VERSIONS
  if (args.length === 2 && args[0] === '--only' && VERSIONS.includes(args[1])) return [args[1]]
  process.stderr.write(`mixwright: usage: npm run test:nodes [-- --only ${VERSIONS.join('|')}]\n`)
  process.exit(2)
}

/** Run `npm test` under a version; a row of the table. */
async function testOn(version) {
  const binary = fetched(version)
  if (binary === undefined) return [version, '', '', '', '', '', 'not fetched']
  const exact = spawnSync(binary, ['--version'], { encoding: 'utf8' }).stdout.trim()
  process.stderr.write(`\nmixwright: testing on Node.js ${exact}\n`)
  // First on the path, so that tests that call `node` by name get this one.
  const env = { ...process.env, PATH: `${dirname(binary)}${delimiter}${process.env.PATH}` }
  const startedAt = Date.now()
  const child = spawn(binary, [join(ROOT, 'scripts', 'test.mjs')], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text)
    output += text
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  const seconds = Math.round((Date.now() - startedAt) / 1000)
  const counts = ['tests', 'pass', 'fail', 'skipped'].map((name) => summaryNumber(output, name))
  return [exact, ...counts, String(seconds), code === 0 ? 'ok' : `exit code ${code}`]
}

/** A number of the summary at the end of node's spec report. */
function summaryNumber(output, name) {
  return [...output.matchAll(new RegExp(`^\\W*${name} (\\d+)\\s*$`, 'gm'))].at(-1)?.[1] ?? '?'
}

/** The binary of a version, which npm carries as a package per platform; undefined when it cannot be had. */
function fetched(version) {
  const system = process.platform === 'win32' ? 'win' : process.platform
  const name = `node-${system}-${process.arch}`
  const home = join(CACHE, version)
  const binary = join(home, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  if (existsSync(binary)) return binary
  mkdirSync(home, { recursive: true })
  process.stderr.write(`mixwright: fetching ${name}@${version} …\n`)
  const { file, args, options } = npmCommand()
  const flags = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const install = [...args, 'install', '--prefix', home, ...flags, `${name}@${version}`]
  const { status } = spawnSync(file, install, { cwd: home, stdio: ['ignore', 'inherit', 'inherit'], ...options })
  return status === 0 && existsSync(binary) ? binary : undefined
}

function cell(text) {
  return text.padEnd(12)
}
