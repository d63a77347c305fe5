// `npm test`: makes the checkout ready, checks style, runs every test with node's own test runner.
//
//   npm test -- packages/sphinx gateway        only test files whose path contains one of these; no style check
//   npm test -- --test-name-pattern=replay     flags are node's
import './require-node.mjs'

const { availableParallelism } = await import('node:os')
const { join } = await import('node:path')
const { prepare } = await import('./prepare.mjs')
const { ROOT, testFiles } = await import('./project-files.mjs')
const { runNode } = await import('./run-node.mjs')

/** A test file that takes longer hangs: it is ended and counted as failed. The longest honest one idles for a minute. */
const FILE_TIMEOUT_MS = 6 * 60_000

const words = process.argv.slice(2)
const flags = words.filter((word) => word.startsWith('-'))
const wanted = words.filter((word) => !word.startsWith('-')).map((word) => word.replace(/^\.\//, ''))
const files = testFiles().filter(({ source }) => wanted.length === 0 || wanted.some((part) => source.includes(part)))
if (files.length === 0) {
  process.stderr.write(`mixwright: no test file has a path with ${wanted.join(' or ')}\n`)
  process.exit(2)
}

await prepare()

const biome = join(ROOT, 'node_modules', '@biomejs', 'biome', 'bin', 'biome')
const styleIsGood = wanted.length > 0 || (await runNode([biome, 'check', '.'])) === 0

const testCode = await runNode([
  '--test',
  '--enable-source-maps',
  '--test-reporter=spec',
  '--test-reporter-destination=stdout',
  `--test-timeout=${FILE_TIMEOUT_MS}`,
  `--test-concurrency=${Math.max(2, availableParallelism() - 1)}`,
  ...flags,
  ...files.map(({ compiled }) => compiled),
])
if (!styleIsGood)
  process.stderr.write('mixwright: the style check failed, see above; `npm run format` mends most of it\n')
process.exitCode = testCode !== 0 ? testCode : styleIsGood ? 0 : 1
