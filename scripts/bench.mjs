// `npm run bench:NAME -- ARGS`: makes the checkout ready and runs bench/src/NAME.ts.
import './require-node.mjs'

const { existsSync, readdirSync } = await import('node:fs')
const { join } = await import('node:path')
const { pathToFileURL } = await import('node:url')
const { prepare } = await import('./prepare.mjs')
const { ROOT } = await import('./project-files.mjs')

const [name, ...args] = process.argv.slice(2)
const sources = join(ROOT, 'bench', 'src')
if (name === undefined || !existsSync(join(sources, `${name}.ts`))) {
  const names = readdirSync(sources).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -3)] : []))
  process.stderr.write(`mixwright: name one of these benchmarks: ${names.join(', ')}\n`)
  process.exit(2)
}
await prepare()
const program = join(ROOT, 'bench', 'dist', 'src', `${name}.js`)
process.argv = [process.execPath, program, ...args]
await import(pathToFileURL(program).href)
