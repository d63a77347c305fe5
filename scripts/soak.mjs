// `npm run soak`: makes the checkout ready and runs the tests that take minutes, one file after the other.
//
//   npm run soak -- --quick            shortened, to see that they work
//   npm run soak -- traffic-shape      only files whose path contains one of these
import './require-node.mjs'

const { prepare } = await import('./prepare.mjs')
const { soakFiles } = await import('./project-files.mjs')
const { runNode } = await import('./run-node.mjs')

const words = process.argv.slice(2)
const wanted = words.filter((word) => word !== '--quick')
const files = soakFiles().filter(({ source }) => wanted.length === 0 || wanted.some((part) => source.includes(part)))
if (files.length === 0) {
  process.stderr.write(`mixwright: no soak has a path with ${wanted.join(' or ')}\n`)
  process.exit(2)
}

await prepare()
process.exitCode = await runNode(
  [
    '--test',
    '--enable-source-maps',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    // They measure: nothing runs beside them.
    '--test-concurrency=1',
    ...files.map(({ compiled }) => compiled),
  ],
  words.includes('--quick') ? { MIXWRIGHT_SOAK_QUICK: '1' } : {},
)
