//! The wire protocols: EC2 and ELBv2/STS query with XML, EKS REST with JSON.
