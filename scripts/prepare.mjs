// Brings a checkout into working order: dependencies as the lock file says, and everything compiled. What is done is
// skipped, so that every command can call it first. Also `npm run build`.
//
// All words go to standard error: standard output belongs to the command that comes after.
import './require-node.mjs'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { npmCommand } from './npm-command.mjs'
import { BUNDLE, buildInputs, projects, ROOT } from './project-files.mjs'

/** Removed together with what it vouches for: node_modules. */
const STAMPS = join(ROOT, 'node_modules', '.mixwright')
const INSTALLED = join(STAMPS, 'installed')
const BUILT = join(STAMPS, 'built')
const LOCK = join(ROOT, '.mixwright', 'prepare.lock')

/** Lines of a failing tool that are shown. */
const TAIL_LINES = 30
const LOCK_POLL_MS = 200

/** Install and build as far as needed. A failure is told on standard error and ends the process with exit code 1. */
export async function prepare() {
  if (isInstalled() && isBuilt()) return
  const unlock = await lock()
  try {
    // Asked again: whoever held the lock may have done it.
    if (!isInstalled()) await install()
    if (!isBuilt()) await build()
  } catch (error) {
    if (!(error instanceof ToolFailure)) throw error
    say(error.message)
    process.stderr.write(error.tail)
    unlock()
    process.exit(1)
  } finally {
    unlock()
  }
}

class ToolFailure extends Error {
  constructor(message, output) {
    super(message)
    this.tail = output.trimEnd().split('\n').slice(-TAIL_LINES).join('\n').concat('\n')
  }
}

function isInstalled() {
  const stamp = installStamp()
  if (read(INSTALLED) === stamp) return true
  // Somebody may have run npm by hand.
  if (!treeMatchesLockFile()) return false
  mark(INSTALLED, stamp)
  return true
}

function installStamp() {
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
}

/** Whether npm's own record of node_modules has everything that the lock file wants on this machine. */
function treeMatchesLockFile() {
  const record = read(join(ROOT, 'node_modules', '.package-lock.json'))
  if (record === undefined) return false
  const installed = JSON.parse(record).packages
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages
  return Object.entries(wanted).every(([path, entry]) => {
    const found = installed[path]
    if (path === '' || (found === undefined && entry.optional && isForeign(entry))) return true
    return (
      found !== undefined &&
      found.version === entry.version &&
      found.integrity === entry.integrity &&
      JSON.stringify(found.bin) === JSON.stringify(entry.bin)
    )
  })
}

/** Whether an optional package may be missing because it is made for other machines. */
function isForeign({ os, cpu, libc }) {
  return (os && !os.includes(process.platform)) || (cpu && !cpu.includes(process.arch)) || libc !== undefined
}

async function install() {
  // Told one by one, because the user's own npm settings may say otherwise.
  const flags = ['--ignore-scripts', '--include=dev', '--include=optional', '--prefer-offline']
  const quiet = ['--no-audit', '--no-fund', '--no-progress', '--loglevel=error']
  const npm = npmCommand()
  await step('installing the dependencies (npm ci)', npm.file, [...npm.args, 'ci', ...flags, ...quiet], npm.options)
  mark(INSTALLED, installStamp())
}

function isBuilt() {
  const products = [BUNDLE, ...projects().map((path) => join(path, 'dist', '.tsbuildinfo'))]
  return read(BUILT) === buildStamp() && products.every((path) => existsSync(join(ROOT, path)))
}

/** Path, time and size of every input: enough to notice an edit, and cheap. */
function buildStamp() {
  const hash = createHash('sha256')
  for (const path of buildInputs()) {
    const { mtimeMs, size } = statSync(join(ROOT, path), { throwIfNoEntry: false }) ?? {}
    hash.update(`${path}\0${mtimeMs}\0${size}\n`)
  }
  return hash.digest('hex')
}

async function build() {
  // Taken before: an edit during the build must lead to another one.
  const stamp = buildStamp()
  await step('building (tsc -b)', process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'])
  await step('bundling for browsers (esbuild)', process.execPath, [join(ROOT, 'scripts', 'bundle.mjs')])
  mark(BUILT, stamp)
}

/** Run a tool in the root; its output is shown only when it fails. */
async function step(what, file, args, options = {}) {
  const startedAt = Date.now()
  say(`${what} …`)
  const child = spawn(file, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], ...options })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const stopTicking = tick(startedAt)
  const failure = await new Promise((resolve) => {
    child.once('error', ({ message }) => resolve(message))
    child.once('close', (code, signal) => resolve(code === 0 ? undefined : (signal ?? `exit code ${code}`)))
  })
  stopTicking()
  if (failure !== undefined) throw new ToolFailure(`${what} failed: ${failure}`, output)
  say(`${what} done in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
}

/** On a terminal, count the seconds, so that nobody thinks it hangs. */
function tick(startedAt) {
  if (!process.stderr.isTTY) return () => {}
  const timer = setInterval(() => process.stderr.write(`\r  ${Math.round((Date.now() - startedAt) / 1000)} s `), 1000)
  return () => {
    clearInterval(timer)
    process.stderr.write('\r\x1b[K')
  }
}

/** One at a time in a checkout. Waits for a living holder, takes over from a dead one. Returns how to unlock. */
async function lock() {
  mkdirSync(join(ROOT, '.mixwright'), { recursive: true })
  for (let told = false; ; ) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: 'wx' })
      return () => rmSync(LOCK, { force: true })
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const holder = Number(read(LOCK))
    if (!isAlive(holder)) {
      rmSync(LOCK, { force: true })
      continue
    }
    if (!told) say(`waiting for process ${holder}, which prepares this checkout …`)
    told = true
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS))
  }
}

function isAlive(pid) {
  // Just made, its number not written yet.
  if (pid === 0 || Number.isNaN(pid)) return existsSync(LOCK) && Date.now() - statSync(LOCK).mtimeMs < 1000
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function mark(path, stamp) {
  mkdirSync(STAMPS, { recursive: true })
  writeFileSync(path, stamp)
}

function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

function say(line) {
  process.stderr.write(`mixwright: ${line}\n`)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await prepare()
