/** `curl` as an app that knows proxies. */
import { execFile } from 'node:child_process'

export interface CurlResult {
  /** 0, or curl's number of what went wrong. */
  readonly code: number
  readonly body: Buffer
  readonly stderr: string
}

export const curl = (...args: readonly string[]) => run(undefined, args)

/** POST the data. */
curl.upload = (data: Uint8Array, ...args: readonly string[]) => run(data, ['--data-binary', '@-', ...args])

function run(input: Uint8Array | undefined, args: readonly string[]): Promise<CurlResult> {
  const options = { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 } as const
  return new Promise((resolve) => {
    const all = ['--disable', '--silent', '--show-error', '--noproxy', '', '--max-time', '30', ...args]
    const child = execFile('curl', all, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), body: stdout, stderr: String(stderr) })
    })
    child.stdin?.on('error', () => {}).end(input)
  })
}
