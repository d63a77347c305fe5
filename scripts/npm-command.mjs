// How to call npm from here: the very npm that called us, else the one on the path.
import { basename } from 'node:path'

/** `file`, the leading `args` and the spawn `options` that run npm. */
export function npmCommand() {
  const caller = process.env.npm_execpath
  if (caller !== undefined && /^np[mx]-cli\.c?js$/.test(basename(caller))) {
    return { file: process.execPath, args: [caller.replace(/npx-cli(\.c?js)$/, 'npm-cli$1')], options: {} }
  }
  // On Windows npm is a command script, which only a shell can run.
  return { file: 'npm', args: [], options: { shell: process.platform === 'win32' } }
}
