// `npm start -- ARGS`: makes the checkout ready, then is `mixwright up ARGS`, in this very process.
import './require-node.mjs'

const { existsSync, realpathSync } = await import('node:fs')
const { join } = await import('node:path')
const { prepare } = await import('./prepare.mjs')
const { ROOT } = await import('./project-files.mjs')
await prepare()

// npm runs scripts in the root; file names among the arguments are meant from where the user stands.
const { INIT_CWD: userDirectory, npm_package_json: packageFile } = process.env
const calledByNpm = packageFile !== undefined && realPath(packageFile) === join(ROOT, 'package.json')
if (calledByNpm && userDirectory !== undefined && existsSync(userDirectory)) process.chdir(userDirectory)

const { main } = await import('../packages/cli/dist/src/main.js')
process.exitCode = await main(['up', ...process.argv.slice(2)])

function realPath(path) {
  return existsSync(path) ? realpathSync(path) : path
}
