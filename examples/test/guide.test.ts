/**
 * docs/guide.md, typed from top to bottom: its programs are written, its commands run in as many terminals as it names, its
 * conversations held, and everything printed is compared. Only its two ports are exchanged for free ones.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { SystemRandom, uniform } from '@mixwright/runtime'
import { WebSocket } from 'ws'
import { type Block, pattern, readSections } from './guide-blocks.js'
import { escaped, Program, REPOSITORY } from './program.js'

const guide = readFileSync(new URL('docs/guide.md', REPOSITORY), 'utf8')

/** The directory and five nodes, with up to three ports each. */
const NETWORK_PORTS = 16
/** Below those that systems give to whoever asks for any. */
const [LOWEST_PORT, HIGHEST_PORT] = [20_000, 32_000]

/** A line that the shell prints after each command, with its exit code. */
const PROMPT = /^<done (\d+)>\n/m

/** What a command says before its own words when the checkout was changed since it was built. */
const PREPARING = '(?:mixwright: (?:building|bundling|waiting) .*\\n)*'

/** One of the guide's terminals. Commands are typed one at a time, each once the one before has ended. */
class Terminal {
  readonly #cwd: string
  readonly #env: Readonly<Record<string, string>>
  #shell: Program | undefined
  /** The command that was typed last, until its end was seen. */
  #running: string | undefined

  constructor(cwd: string, env: Readonly<Record<string, string>>) {
    this.#cwd = cwd
    this.#env = env
  }

  async type(line: string): Promise<void> {
    if (line === '^C') return this.interrupt()
    await this.commandEnds()
    if (this.#shell === undefined) {
      this.#shell = Program.start(['bash', '--noprofile', '--norc'], { cwd: this.#cwd, env: this.#env })
      this.#shell.type('exec 2>&1')
    }
    this.#shell.type(`{ ${line}\n} </dev/null; echo "<done $?>"`)
    this.#running = line
  }

  /** The next thing printed has to be this. */
  async prints(text: string): Promise<void> {
    const expected = PREPARING + pattern(text)
    const [found] = await this.#shell!.prints(new RegExp(`^(?:${expected}|(?:.*\n)*?<done \\d+>\n)`))
    assert.match(found, new RegExp(`^${expected}`))
  }

  /** What was typed has to succeed, and to print no more than was read. */
  async commandEnds(): Promise<void> {
    if (this.#running === undefined) return
    const { input, index, 1: code } = await this.#shell!.prints(PROMPT)
    assert.equal(code, '0', this.#running)
    assert.equal(input.slice(0, index), '', `${this.#running} printed more`)
    this.#running = undefined
  }

  async interrupt(): Promise<void> {
    this.#shell?.endInput()
    await this.#shell?.interrupt()
    this.#shell = undefined
    this.#running = undefined
  }

  async kill(): Promise<void> {
    await this.#shell?.[Symbol.asyncDispose]()
  }
}

describe('docs/guide.md', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mixwright-guide-'))
  const terminals = new Map<number, Terminal>()
  /** Words of the guide, and what stands for them here. */
  const words = new Map<string, string>()
  let env: Readonly<Record<string, string>>

  before(async () => {
    const first = await freePorts(NETWORK_PORTS + 1)
    const forApps = first + NETWORK_PORTS
    words.set('17890', String(first)).set('1977', String(forApps))
    env = {
      MIXWRIGHT_PORT: String(first),
      MIXWRIGHT_CLIENT_PORT: String(forApps),
      MIXWRIGHT_HOME: join(directory, '.mixwright'),
      NYM_API: `http://127.0.0.1:${first}/api`,
      NYM_APIS: '',
    }
    symlinkSync(fileURLToPath(new URL('node_modules', REPOSITORY)), join(directory, 'node_modules'))
  })
  after(async () => {
    await Promise.all([...terminals.values()].map((terminal) => terminal.kill()))
    rmSync(directory, { recursive: true, force: true })
  })

  const local = (text: string) => text.replace(/\b(17890|1977|ADDRESS|TAG)\b/g, (word) => words.get(word) ?? word)
  const terminal = (number: number) => {
    const known = terminals.get(number) ?? new Terminal(directory, env)
    terminals.set(number, known)
    return known
  }

  async function run(block: Block): Promise<void> {
    switch (block.kind) {
      case 'file':
        writeFileSync(join(directory, block.name), `${local(block.text)}\n`)
        return
      case 'type':
        for (const line of block.lines) await terminal(block.terminal).type(local(line))
        return
      case 'printed':
        await terminal(block.terminal).prints(local(block.text))
        return
      case 'conversation':
        await converse(local(block.url), block.lines)
    }
  }

  /** Say what stands after →, and hear what stands after ←. */
  async function converse(url: string, lines: readonly string[]): Promise<void> {
    const websocket = new WebSocket(url)
    const heard: string[] = []
    websocket.on('message', (data) => heard.push(String(data)))
    await once(websocket, 'open')
    for (const line of lines) {
      if (line.startsWith('→ ')) {
        websocket.send(local(line.slice(2)))
        continue
      }
      if (heard.length === 0) await once(websocket, 'message')
      const answer = heard.shift()!
      // A word that is not known yet is learnt from the answer.
      const expected = local(line.slice(2)).split('…').map(escaped).join('.*')
      const found = new RegExp(`^${expected.replace(/\b(ADDRESS|TAG)\b/, '(?<$1>[^"]+)')}$`).exec(answer)
      assert.ok(found, `${answer}\nin place of ${line}`)
      for (const [word, value] of Object.entries(found.groups ?? {})) words.set(word, value)
    }
    websocket.close()
    await once(websocket, 'close')
    assert.deepEqual(heard, [])
  }

  it('does what it says, from top to bottom', async (t) => {
    for (const { title, blocks } of readSections(guide)) {
      t.diagnostic(title)
      for (const block of blocks) await run(block)
    }
    await terminal(2).commandEnds()
    await Promise.all([...terminals.values()].map((each) => each.interrupt()))
  })

  it('leads to files that are there', () => {
    const links = [...guide.matchAll(/\]\(([^)#]+)\)/g)].map(([, path]) => new URL(path!, new URL('docs/', REPOSITORY)))
    assert.ok(links.length > 5)
    for (const link of links) assert.ok(existsSync(link), link.pathname)
  })
})

/** The first of so many ports in a row that nobody listens on. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = LOWEST_PORT + Math.floor(uniform(new SystemRandom()) * (HIGHEST_PORT - LOWEST_PORT - count))
    const ports = Array.from({ length: count }, (_, i) => first + i)
    if ((await Promise.all(ports.map(isFree))).every((free) => free)) return first
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
