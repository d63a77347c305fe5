export { startEcho } from './echo/echo.js'
export { ExitKeeper, type ExitKeeperOptions } from './exit-node/exit-keeper.js'
export { ExitNode, type ExitNodeOptions } from './exit-node/exit-node.js'
export type { Dial, Resolve } from './network-requester/destination.js'
export { type ExitPolicyChoice, ExitPolicySource } from './network-requester/exit-policy-source.js'
export {
  NetworkRequester,
  type NetworkRequesterLimits,
  type NetworkRequesterOptions,
} from './network-requester/requester.js'
export { type ClientHealth, clientHealth } from './serve/client-health.js'
export { recordClient } from './serve/client-metrics.js'
export { type Health, HealthEndpoint, type HealthEndpointOptions } from './serve/health-endpoint.js'
export type { Answer, MessageCounts, MessageHandler } from './serve/message-service.js'
export type { HandlerContext } from './serve/running-handlers.js'
export { type ServeOptions, type Service, type ServiceHandlers, type ServiceHealth, serve } from './serve/serve.js'
export type { StreamCounts, StreamHandler } from './serve/stream-service.js'
