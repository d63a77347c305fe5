/** A project of its own outside of this checkout, with nothing in it but what is installed: what users start from. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ServedFiles } from './browser-page.js'

/** The repository's directory, seen from the compiled file. */
export const REPOSITORY = new URL('../../../', import.meta.url)

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** No package could be had, for want of a network. */
export class RegistryUnreachable extends Error {}

/** What npm says when it cannot reach its registry. */
const UNREACHABLE = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)\b/

/** By itself npm tries for minutes to reach a registry that is not there; in CI it is there. */
const HASTE = process.env.CI === 'true' ? [] : ['--fetch-retries=0']

export class EmptyProject implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'mixwright-project-'))

  constructor() {
    this.write('package.json', JSON.stringify({ name: 'empty', private: true, type: 'module' }))
  }

  write(name: string, content: string): void {
    writeFileSync(join(this.path, name), content)
  }

  /** Every file below one of its directories, for a `BrowserPage`. */
  served(directory: string): ServedFiles {
    const root = join(this.path, directory)
    const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    return Object.fromEntries(
      files.map(({ parentPath, name }) => {
        const url = pathToFileURL(join(parentPath, name))
        return [url.pathname.slice(pathToFileURL(root).pathname.length), url]
      }),
    )
  }

  /** `npm install`. Errors: `RegistryUnreachable`; any other failure with what npm said. */
  async install(...packages: string[]): Promise<void> {
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error']
    const { code, stdout, stderr } = await npm(this.path, 'install', ...flags, ...HASTE, ...packages)
    if (code === 0) return
    const said = `npm install ended with ${code}:\n${stdout}${stderr}`
    throw UNREACHABLE.test(said) ? new RegistryUnreachable(said) : new Error(said)
  }

  /** Run a program of Node.js in the project. */
  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
    return run(process.execPath, args, this.path, env)
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** A file as `npm pack --json` tells of it. */
export interface Tarball {
  readonly name: string
  readonly filename: string
  readonly files: readonly { readonly path: string }[]
}

/** `npm pack` of packages of this repository, named by their directories, into a directory. */
export async function pack(packages: readonly string[], directory: string): Promise<Tarball[]> {
  const chosen = packages.flatMap((name) => ['--workspace', `packages/${name}`])
  const flags = ['--json', '--ignore-scripts', '--pack-destination', directory]
  const { code, stdout, stderr } = await npm(REPOSITORY, 'pack', ...flags, ...chosen)
  if (code !== 0) throw new Error(`npm pack ended with ${code}:\n${stderr}`)
  // An array, or by name, as the release of npm likes it.
  return Object.values(JSON.parse(stdout))
}

async function npm(directory: string | URL, ...args: string[]): Promise<Finished> {
  const { npmCommand } = await import(new URL('scripts/npm-command.mjs', REPOSITORY).href)
  const command = npmCommand()
  return run(command.file, [...command.args, ...args], directory, {}, command.options)
}

async function run(
  program: string,
  args: readonly string[],
  directory: string | URL,
  env: Readonly<Record<string, string>>,
  options = {},
): Promise<Finished> {
  // What the test runner tells its own children is not for these.
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env
  const child = spawn(program, args, { ...options, cwd: directory, env: { ...inherited, ...env } })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}
