// Running node as a child with this terminal.
import { spawn } from 'node:child_process'
import { ROOT } from './project-files.mjs'

/** Run node in the root, with these variables beside those of this process; resolves with the exit code. */
export function runNode(args, variables = {}) {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit', env: { ...env, ...variables } })
  return new Promise((resolve) => {
    child.once('error', ({ message }) => {
      process.stderr.write(`mixwright: ${message}\n`)
      resolve(1)
    })
    child.once('close', (code) => resolve(code ?? 1))
  })
}
