/** `curl` as an app that knows proxies. */
import { execFile } from 'node:child_process'
import { findProgram, skipWithout } from '../src/needed-program.js'

/** For the `skip` option of tests that need curl. */
export const skipWithoutCurl = skipWithout('curl', findProgram('curl'))

export interface CurlResult {
  /** 0, or curl's number of what went wrong. */
  readonly code: number
  readonly body: Buffer
  readonly stderr: string
}

/** `input` is for `--data-binary @-`. */
export function curl(args: readonly string[], input?: Uint8Array): Promise<CurlResult> {
  const options = { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 } as const
  return new Promise((resolve) => {
    const all = ['--disable', '--silent', '--show-error', '--noproxy', '', '--max-time', '60', ...args]
    const child = execFile('curl', all, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), body: stdout, stderr: String(stderr) })
    })
    child.stdin?.on('error', () => {}).end(input)
  })
}
