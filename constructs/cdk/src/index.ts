export * from "./migration";
export * from "./parameters";
export * from "./tables";
